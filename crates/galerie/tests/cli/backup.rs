//! Backups and restores by the program itself: made while the gallery is used, killed anywhere, restored elsewhere.
//!
//! With `GALERIE_TEST_POSTGRES` the catalogues are in PostgreSQL, and one of the restores moves a gallery there from SQLite.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
};

use serde_json::Value;

use crate::{
    images::{disk, fill},
    server::{Server, complaint, galerie, text},
};

const PASSPHRASE: &str = "eight words are long enough";
const REGIONS: [&str; 3] = ["eastus", "westus", "westeurope"];

/// Has a server, and the commands that stand in for it, keep the catalogue where the suite wants it: backups are restored there.
fn database(name: &Path) -> Option<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(galerie_testdb::empty_postgres_of(name))
}

/// A server whose catalogue is in PostgreSQL when the suite runs there.
fn server() -> Server {
    let server = Server::new("");
    configure(&server);
    server
}

fn configure(server: &Server) {
    let database = database(&server.data_dir()).map(|url| format!("database = '{url}'\n")).unwrap_or_default();
    let regions = REGIONS.map(|name| format!("[[regions]]\nname = '{name}'\npath = 'volumes/{name}'\n")).concat();
    fs::write(server.path("galerie.toml"), format!("metrics_listen = \"off\"\n{database}{regions}")).unwrap();
}

/// Publishes a disk that only its seed says; it is known by its version.
fn publish(server: &Server, seed: u64, targets: &[&str]) -> Option<Vec<u8>> {
    let file = format!("{seed}.raw");
    let bytes = disk(3, seed);
    fs::write(server.path(&file), &bytes).unwrap();
    let version = format!("g/d/1.{seed}.0");
    let mut arguments = vec!["publish", &file, &version, "--create"];
    arguments.extend(targets.iter().flat_map(|target| ["-t", target]));
    let output = server.client(&arguments).output().unwrap();
    output.status.success().then_some(bytes)
}

/// What a gallery has, by version and region.
fn replicas(server: &Server) -> BTreeMap<String, Vec<String>> {
    let versions = server.json(&["version", "list", "g/d", "-o", "json"]);
    let of = |version: &Value| {
        let targets = version["properties"]["publishingProfile"]["targetRegions"].as_array().unwrap();
        let regions = targets.iter().map(|target| target["name"].as_str().unwrap().to_owned());
        (version["name"].as_str().unwrap().to_owned(), regions.collect())
    };
    versions.as_array().unwrap().iter().map(of).collect()
}

/// Every version's bytes, in each of its regions, are those that its seed makes; how many were compared.
fn compare(server: &Server) -> usize {
    let mut compared = 0;
    for (version, regions) in replicas(server) {
        let seed: u64 = version.split('.').nth(1).unwrap().parse().unwrap();
        for region in regions {
            let reference = format!("g/d/{version}");
            server.ok(&["pull", &reference, "-o", "pulled.raw", "--region", &region, "--force"]);
            assert!(fs::read(server.path("pulled.raw")).unwrap() == disk(3, seed), "{version} in {region}");
            compared += 1;
        }
    }
    compared
}

fn create(server: &Server, repository: &Path) -> Value {
    serde_json::from_str(&text(&must(create_command(server, repository)))).unwrap()
}

fn create_command(server: &Server, repository: &Path) -> Command {
    let mut command = server.client(&["backup", "create", "--with-master-key", "-o", "json"]);
    command.arg(repository).env("GALERIE_BACKUP_PASSPHRASE", PASSPHRASE);
    command
}

fn restore_command(server: &Server, repository: &Path, arguments: &[&str]) -> Command {
    let mut command = galerie();
    command.arg("restore").arg(repository).args(arguments).args(["-o", "json", "--data-dir"]).arg(server.data_dir());
    command.arg("--config").arg(server.path("galerie.toml")).env("GALERIE_BACKUP_PASSPHRASE", PASSPHRASE);
    command
}

fn must(mut command: Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
    output.stdout
}

/// Restores into a server of its own, with a new administrator, and starts it.
fn restored(repository: &Path, arguments: &[&str]) -> (Server, Value) {
    let mut server = server();
    let report = serde_json::from_str(&text(&must(restore_command(&server, repository, arguments)))).unwrap();
    reset_and_run(&mut server);
    (server, report)
}

fn reset_and_run(server: &mut Server) {
    let config = server.path("galerie.toml");
    server.ok(&["admin", "reset", "--config", config.to_str().unwrap()]);
    server.run();
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path() {
            path if path.is_dir() => found.extend(files(&path)),
            path => found.push(path),
        }
    }
    found
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn a_gallery_that_is_used_meanwhile_comes_back_with_every_byte() {
    let mut server = server();
    server.run();
    let secret = server.admin()["clientSecret"].as_str().unwrap().to_owned();
    let master_key = fs::read(server.data_dir().join("master.key")).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let repository = elsewhere.path().join("backups");
    for (seed, targets) in [(1, &REGIONS[..2]), (2, &REGIONS[..]), (3, &REGIONS[1..])] {
        publish(&server, seed, targets).expect("published");
    }
    let busy = AtomicBool::new(true);
    let backups: Vec<Value> = std::thread::scope(|scope| {
        scope.spawn(|| {
            for seed in 10.. {
                if !busy.load(Ordering::SeqCst) {
                    return;
                }
                publish(&server, seed, &REGIONS[..1 + seed as usize % 3]).expect("published");
                if seed % 2 == 0 {
                    server.ok(&["version", "delete", &format!("g/d/1.{seed}.0"), "--yes"]);
                }
            }
        });
        scope.spawn(|| {
            while busy.load(Ordering::SeqCst) {
                server.ok(&["store", "collect"]);
            }
        });
        let backups = (0..4).map(|_| create(&server, &repository)).collect();
        busy.store(false, Ordering::SeqCst);
        backups
    });
    for backup in &backups {
        assert_eq!(backup["missingBlobCount"], 0, "{backup}");
    }
    // Only what is new is copied: the bytes add up to what lies there, and nothing twice.
    let quiet = create(&server, &repository);
    let again = create(&server, &repository);
    assert_eq!((&again["copiedPacks"], &again["copiedBytes"]), (&0.into(), &0.into()), "{again}");
    let copied: u64 = backups.iter().chain([&quiet]).map(|backup| backup["copiedBytes"].as_u64().unwrap()).sum();
    let packs = files(&repository.join("packs"));
    assert_eq!(copied, packs.iter().map(|pack| pack.metadata().unwrap().len()).sum::<u64>());
    let verified: Value =
        serde_json::from_str(&server.ok(&["backup", "verify", repository.to_str().unwrap(), "-o", "json"])).unwrap();
    assert_eq!((&verified["sound"], verified["backups"].as_array().unwrap().len()), (&true.into(), 6), "{verified}");
    let expected = replicas(&server);
    server.kill();

    // Nothing in it opens anything, and it is its owner's.
    let needles = [secret.into_bytes(), master_key.clone(), hex(&master_key), base64(&master_key), PASSPHRASE.into()];
    for file in files(&repository) {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o77, 0, "{}", file.display());
        let mut bytes = fs::read(&file).unwrap();
        if file.extension().is_some_and(|extension| extension == "zst") {
            bytes = zstd::decode_all(bytes.as_slice()).unwrap();
            assert!(contains(&bytes, b"wrapped_keys"), "the catalogue is not in {}", file.display());
        }
        for needle in &needles {
            assert!(!contains(&bytes, needle), "a secret lies in {}", file.display());
        }
    }

    // Everything burns.
    fs::remove_dir_all(server.data_dir()).unwrap();
    fs::remove_dir_all(server.path("volumes")).unwrap();
    let id = |backup: &Value| backup["id"].as_str().unwrap().to_owned();
    let (mut after, report) = restored(&repository, &[]);
    assert_eq!((&report["backup"], &report["lackingCount"]), (&again["id"], &0.into()), "{report}");
    assert_eq!(replicas(&after), expected);
    assert!(compare(&after) >= 7);
    assert_eq!(fs::read(after.data_dir().join("master.key")).unwrap(), master_key);
    let message = after.fails(1, &["store", "collect"]);
    assert!(message.contains("galerie store verify"), "{message}");
    after.ok(&["store", "verify"]);
    after.ok(&["store", "collect"]);
    // It goes on where the other one was: with new versions, and backups that know what is there.
    publish(&after, 5, &REGIONS[..1]).expect("published");
    let next = create(&after, &repository);
    let copied = next["copiedBytes"].as_u64().unwrap();
    assert!((1..4 << 20).contains(&copied), "only the new version is copied: {next}");
    assert_eq!(after.stop().code(), Some(0));

    // Each of the backups that were made meanwhile is as good, without a server and with one.
    for backup in &backups {
        let (busy, report) = restored(&repository, &["--backup", &id(backup)]);
        assert_eq!(report["lackingCount"], 0, "{report}");
        assert!(compare(&busy) >= 7);
        let sound = busy.json(&["store", "verify", "-o", "json"]);
        assert!(sound.as_array().unwrap().iter().all(|region| region["report"]["sound"] == true), "{sound}");
    }
    let all = repository.to_str().unwrap();
    let kept = after.client(&["backup", "prune", all, "--keep", "1", "--yes"]).output().unwrap();
    assert_eq!(text(&kept.stdout).matches("Removed backup ").count(), 6, "{}", text(&kept.stdout));
    let needed = next["packs"].as_u64().unwrap() as usize;
    assert_eq!(files(&repository.join("packs")).len(), needed);
    let (last, _) = restored(&repository, &[]);
    assert!(compare(&last) >= 8);
}

fn hex(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes).into_bytes()
}

/// The server, or the restore, is killed when so many files of the target are there: seeded, and anywhere.
#[test]
fn killed_anywhere_a_backup_or_restore_leaves_nothing_wrong_and_goes_on() {
    let mut server = server();
    server.run();
    for seed in 1..=6 {
        publish(&server, seed, &REGIONS[..2]).expect("published");
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let repository = elsewhere.path().join("backups");
    let mut state = [0x9e37_79b9_u64.to_le_bytes()].concat();
    let mut random = 7_u64;
    for round in 0..5 {
        fill(&mut state, &mut random);
        let wanted = usize::from(state[0]) % 14;
        let mut making =
            create_command(&server, &repository).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while files(&repository).len() < wanted && making.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        server.kill();
        let finished = making.wait().unwrap().success();
        let listed = if repository.join("repository.json").exists() {
            server.json(&["backup", "list", repository.to_str().unwrap(), "-o", "json"]).as_array().unwrap().len()
        } else {
            0
        };
        assert!(!finished || listed > 0, "round {round}, {wanted} files: it said that it was made");
        server.run();
    }
    // Nobody waits for a dead backup's hold, and what it copied is there.
    let made = create(&server, &repository);
    let verified = server.json(&["backup", "verify", repository.to_str().unwrap(), "-o", "json"]);
    assert_eq!(verified["sound"], true, "{verified}");
    server.ok(&["backup", "prune", repository.to_str().unwrap(), "--keep", "1", "--yes"]);
    assert_eq!(files(&repository.join("packs")).len() as u64, made["packs"].as_u64().unwrap());
    assert_eq!(files(&repository.join("backups")).len(), 2, "unfinished ones are gone");
    server.stop();

    let mut after = self::server();
    for round in 0..6 {
        fill(&mut state, &mut random);
        let wanted = usize::from(state[0]) % 20;
        let mut command = restore_command(&after, &repository, &[]);
        let mut restoring = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let there = || files(&after.data_dir()).len() + files(&after.path("volumes")).len();
        while there() < wanted && restoring.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        restoring.kill().unwrap();
        if restoring.wait().unwrap().success() {
            break;
        }
        if after.data_dir().join("restore.json").exists() {
            let message = complaint(after.serve_command().output().unwrap());
            assert!(
                message.contains("was not finished") && message.contains("galerie restore"),
                "round {round}: {message}"
            );
        }
    }
    if after.data_dir().join("restore.json").exists() || !after.data_dir().join("master.key").exists() {
        must(restore_command(&after, &repository, &[]));
    }
    reset_and_run(&mut after);
    assert_eq!(compare(&after), 12);
    after.ok(&["store", "verify"]);
    let message = complaint(restore_command(&after, &repository, &[]).output().unwrap());
    assert!(message.contains("in use"), "{message}");
    after.stop();
    let message = complaint(restore_command(&after, &repository, &[]).output().unwrap());
    assert!(message.contains("is not empty"), "{message}");
}

/// A clock that was moved on is the catalogue's: it comes back with it, and is served by whoever may have one.
#[test]
fn a_moved_clock_comes_back() {
    let mut server = Server::new("faults = ['clock']\n");
    server.run();
    server.ok(&["admin", "clock", "advance", "8d"]);
    let elsewhere = tempfile::tempdir().unwrap();
    let repository = elsewhere.path().join("backups");
    create(&server, &repository);
    server.stop();

    let mut after = Server::new("");
    must(restore_command(&after, &repository, &[]));
    after.ok(&["admin", "reset", "--config", after.path("galerie.toml").to_str().unwrap()]);
    let message = complaint(after.serve_command().output().unwrap());
    assert!(message.contains("--fault clock"), "{message}");
    fs::write(after.path("galerie.toml"), "metrics_listen = \"off\"\nfaults = ['clock']\n").unwrap();
    after.run();
    assert_eq!(after.json(&["admin", "clock", "show", "-o", "json"])["aheadMs"], 8 * 24 * 3600 * 1000);

    let shared = Server::new("");
    if let Some(url) = database(&shared.data_dir()) {
        fs::write(shared.path("galerie.toml"), format!("database = '{url}'\n")).unwrap();
        let message = complaint(restore_command(&shared, &repository, &[]).output().unwrap());
        assert!(message.contains("clock was moved on"), "{message}");
    }
}

#[test]
fn the_master_key_comes_from_the_backup_from_a_copy_or_is_given_up() {
    let mut server = server();
    server.run();
    publish(&server, 1, &REGIONS[..1]).expect("published");
    let elsewhere = tempfile::tempdir().unwrap();
    let [with, without] = ["with", "without"].map(|name| elsewhere.path().join(name));
    create(&server, &with);
    let output = server.client(&["backup", "create", without.to_str().unwrap()]).output().unwrap();
    assert!(output.status.success() && text(&output.stderr).contains("master key is not in this backup"));
    let copy = elsewhere.path().join("copy.key");
    fs::copy(server.data_dir().join("master.key"), &copy).unwrap();
    let old = server.admin();
    server.stop();

    let wrong = elsewhere.path().join("wrong.key");
    fs::write(&wrong, [7; 32]).unwrap();
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let target = self::server();
    for (repository, arguments, passphrase, expected) in [
        (&with, vec![], "another passphrase of mine", "does not open"),
        (&with, vec![], "short", "at least 12"),
        (&without, vec![], PASSPHRASE, "not in this backup"),
        (&with, vec!["--backup".to_owned(), "20200101t000000z-00000000".to_owned()], PASSPHRASE, "backup 20200101"),
    ] {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut command = restore_command(&target, repository, &arguments);
        let message = complaint(command.env("GALERIE_BACKUP_PASSPHRASE", passphrase).output().unwrap());
        assert!(message.contains(expected), "{message}");
        assert!(!target.data_dir().exists(), "{expected}: something was made");
    }
    // A key that is the wrong one is found out before the end, and the right one goes on.
    let message = complaint(restore_command(&target, &without, &["--master-key", &path(&wrong)]).output().unwrap());
    assert!(message.contains("does not unwrap"), "{message}");
    assert!(complaint(target.serve_command().output().unwrap()).contains("was not finished"));
    must(restore_command(&target, &without, &["--master-key", &path(&copy)]));
    let mut target = target;
    // With the keys, the secrets that people have go on to work; admin.json alone is new.
    target.run();
    let admin = target.data_dir().join("admin.json");
    assert!(!admin.exists());
    let mut value = old.clone();
    value["endpoint"] = target
        .welcome
        .lines()
        .find_map(|line| Some(line.split_once("https://")?.1))
        .map(|at| format!("https://{at}"))
        .unwrap()
        .into();
    value["caFile"] = path(&target.data_dir().join("tls/ca.pem")).into();
    fs::write(&admin, value.to_string()).unwrap();
    fs::set_permissions(&admin, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(compare(&target), 1);

    let (lost, _) = restored(&without, &["--new-keys"]);
    assert_eq!(compare(&lost), 1);
    assert_ne!(fs::read(lost.data_dir().join("master.key")).unwrap(), fs::read(&copy).unwrap());
    let output = lost
        .client(&["gallery", "list"])
        .env("GALERIE_CLIENT_ID", old["clientId"].as_str().unwrap())
        .env("GALERIE_CLIENT_SECRET", old["clientSecret"].as_str().unwrap())
        .output()
        .unwrap();
    assert!(complaint(output).contains("signing in"));
}

#[test]
fn what_the_repository_lost_is_named_with_what_it_hurts_and_heals_from_another_region() {
    let mut server = server();
    server.run();
    publish(&server, 1, &REGIONS[..2]).expect("published");
    publish(&server, 2, &REGIONS[..1]).expect("published");
    let elsewhere = tempfile::tempdir().unwrap();
    let repository = elsewhere.path().join("backups");
    create(&server, &repository);
    server.stop();
    for pack in files(&repository.join("packs/eastus")) {
        fs::remove_file(pack).unwrap();
    }
    let target = self::server();
    let mut command = restore_command(&target, &repository, &[]);
    let printed = text(&must(command_as_table(&mut command)));
    let line = |what: &str| {
        printed.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("{what}:\n{printed}")).to_owned()
    };
    assert!(line("1.1.0").contains("heals from another region"), "{printed}");
    assert!(line("1.2.0").contains("lost"), "{printed}");
    assert!(line("galerie serve").contains("--config"), "what is to be typed next does what this did: {printed}");
    assert!(printed.contains("eastus: pack ") && printed.contains("galerie admin reset"), "{printed}");
    let mut target = target;
    reset_and_run(&mut target);
    // Verifying finds it whole when it was copied; what is lost is lost until it goes, and then collection goes on.
    target.ok(&["version", "delete", "g/d/1.2.0", "--yes"]);
    while !target.client(&["store", "verify"]).output().unwrap().status.success() {}
    assert_eq!(compare(&target), 2);
    target.ok(&["store", "collect"]);
}

/// The same command, for people.
fn command_as_table(command: &mut Command) -> Command {
    let mut table = Command::new(command.get_program());
    let arguments: Vec<_> = command.get_args().filter(|argument| *argument != "-o" && *argument != "json").collect();
    table.args(arguments);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => table.env(name, value),
            None => table.env_remove(name),
        };
    }
    table.stdin(Stdio::null());
    table
}

#[test]
fn a_stopped_gallery_is_backed_up_and_moves_to_the_other_database() {
    // On SQLite, whatever the suite runs on; the restored one is where the suite wants it.
    let mut server = Server::new("master_key_file = 'keys/of-all'\n");
    fs::create_dir(server.path("keys")).unwrap();
    server.run();
    publish(&server, 1, &REGIONS[..2]).expect("published");
    let elsewhere = tempfile::tempdir().unwrap();
    let repository = elsewhere.path().join("backups");
    let place = repository.to_str().unwrap();
    let message = server.fails(1, &["backup", "create", place, "--offline"]);
    assert!(message.contains("in use"), "{message}");
    let inside = server.data_dir().join("backups");
    let message = server.fails(1, &["backup", "create", inside.to_str().unwrap()]);
    assert!(message.contains("would be lost with it"), "{message}");
    server.stop();
    let mut command = server.client(&["backup", "create", place, "--offline", "--with-master-key"]);
    command.env("GALERIE_CONFIG", server.path("galerie.toml"));
    let printed = text(&must({
        command.env("GALERIE_BACKUP_PASSPHRASE", PASSPHRASE);
        command
    }));
    assert!(printed.contains("packs of") && printed.contains("were copied now"), "{printed}");
    let listed = server.ok(&["backup", "list", place]);
    assert!(listed.contains("sealed"), "{listed}");
    let (after, _) = restored(&repository, &[]);
    assert_eq!(compare(&after), 2);
    assert_eq!(after.data_dir().join("catalogue.db").exists(), std::env::var_os(galerie_testdb::VARIABLE).is_none());
    let message = server.fails(1, &["backup", "list", elsewhere.path().to_str().unwrap()]);
    assert!(message.contains("repository of backups"), "{message}");
}
