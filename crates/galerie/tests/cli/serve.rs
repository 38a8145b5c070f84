//! Starting, starting again, being alone, stopping; the administrator and its file.

use std::{
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
    time::Duration,
};

use crate::server::{Server, complaint, galerie, get, signal, text};

#[test]
fn a_first_start_makes_an_administrator_and_a_second_finds_everything() {
    let mut server = Server::start();
    let path = server.data_dir().join("admin.json");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let first = server.admin();
    let endpoint = first["endpoint"].as_str().unwrap().to_owned();
    let ca_file = server.data_dir().join("tls/ca.pem");
    assert_eq!(first["caFile"].as_str(), ca_file.canonicalize().unwrap().to_str());
    assert_eq!(get(&format!("{endpoint}/healthz"), &ca_file, None), Ok(200));
    assert!(server.welcome.contains(&endpoint) && server.welcome.contains("eastus, westus, westeurope"));
    assert!(!server.welcome.contains(first["clientSecret"].as_str().unwrap()), "the secret was printed");
    assert!(!server.log().contains(first["clientSecret"].as_str().unwrap()), "the secret was logged");
    assert_eq!(server.stop().code(), Some(0));

    server.run();
    let second = server.admin();
    for member in ["tenantId", "subscriptionId", "clientId", "clientSecret", "caFile"] {
        assert_eq!(first[member], second[member], "{member}");
    }
    assert_eq!(server.json(&["gallery", "list", "-o", "json"]), serde_json::json!([]));
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn a_server_that_was_killed_starts_again() {
    let mut server = Server::start();
    server.kill();
    server.run();
    server.ok(&["gallery", "list"]);
}

/// Regression: a first start that was killed after it had made the administrator, and before it had written the secret down,
/// was followed by starts without one. So was the first use of a directory by `store --offline`.
#[test]
fn a_first_start_that_ended_too_early_is_followed_by_one_with_an_administrator() {
    let mut server = Server::new("");
    std::fs::create_dir(server.data_dir()).unwrap();
    let said = server.client(&["store", "stats", "--offline"]).output().unwrap();
    assert!(complaint(said).contains("is not the data directory of a server"));
    assert_eq!(std::fs::read_dir(server.data_dir()).unwrap().count(), 0, "something was made");
    // What stands where the file is written first makes that fail, after all that comes before.
    let obstacle = server.data_dir().join(".admin.json.new");
    std::fs::create_dir(&obstacle).unwrap();
    complaint(server.serve_command().output().unwrap());
    server.ok(&["store", "stats", "--offline"]);
    std::fs::remove_dir(&obstacle).unwrap();
    server.run();
    server.ok(&["gallery", "list"]);
    let first = server.admin();
    server.stop();
    server.run();
    assert_eq!(server.admin()["clientSecret"], first["clientSecret"], "one that was written down stays");
}

/// Regression: signals were heard only after the catalogue and the stores had been opened, so that one that came before
/// killed the process in place of ending it.
#[test]
fn a_signal_during_the_start_ends_it_in_order() {
    let mut server = Server::new("");
    let mut child = server.serve_command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // The first thing that it makes.
    while !server.data_dir().join("lock").exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    server.run();
    server.ok(&["gallery", "list"]);
}

/// `nohup` says by ignoring the signal that the program goes on without its terminal.
#[test]
fn a_terminal_that_goes_away_ends_it_in_order_unless_it_was_told_to_go_on() {
    for (option, ends) in [("--default-signal=HUP", true), ("--ignore-signal=HUP", false)] {
        let server = Server::new("");
        let serve = server.serve_command();
        let mut command = Command::new("env");
        command
            .arg(option)
            .arg(serve.get_program())
            .args(serve.get_args())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        for (name, _) in serve.get_envs() {
            command.env_remove(name);
        }
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.starts_with("Ctrl-C")), "it did not start");
        signal(&child, "HUP");
        if !ends {
            std::thread::sleep(Duration::from_secs(1));
            assert!(child.try_wait().unwrap().is_none(), "{option}");
            signal(&child, "TERM");
        }
        assert_eq!(child.wait().unwrap().code(), Some(0), "{option}");
    }
}

#[test]
fn two_servers_on_one_directory_are_refused() {
    let server = Server::start();
    let message = complaint(server.serve_command().output().unwrap());
    assert!(message.contains("in use by another galerie"), "{message}");
    assert!(message.contains(&format!("process {}", server.child().id())), "{message}");
    let message = server.fails(1, &["admin", "reset"]);
    assert!(message.contains("in use"), "{message}");
    let message = server.fails(1, &["store", "verify", "--offline"]);
    assert!(message.contains("in use"), "{message}");
}

#[test]
fn an_address_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let output = galerie().args(["serve", "--listen", &address, "--data-dir"]).arg(folder.path()).output().unwrap();
    let message = complaint(output);
    assert!(message.contains(&address) && message.contains("--listen"), "{message}");
}

#[test]
fn a_configuration_that_is_wrong_is_refused_by_name() {
    for (config, expected) in [
        ("hostz = []", "unknown field `hostz`"),
        ("[[regions]]\nname = 'x'\nwhere = 'y'", "unknown field `where`"),
        ("certificate_file = 'nowhere.pem'\nkey_file = 'nowhere.key'", "nowhere.pem"),
        ("log_level = 'loud,=x='", "log_level"),
    ] {
        let server = Server::new(config);
        let message = complaint(server.serve_command().output().unwrap());
        assert!(message.contains(expected), "{config}: {message}");
        assert!(!server.data_dir().join("catalogue.db").exists(), "{config}: a catalogue was made");
    }
}

#[test]
fn a_foreign_administrators_file_is_not_overwritten() {
    let mut server = Server::new("");
    std::fs::create_dir(server.data_dir()).unwrap();
    let path = server.data_dir().join("admin.json");
    std::fs::write(&path, "{\"mine\": true}").unwrap();
    let message = complaint(server.serve_command().output().unwrap());
    assert!(message.contains("exists already"), "{message}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"mine\": true}");
    std::fs::remove_file(&path).unwrap();
    server.run();
    server.ok(&["gallery", "list"]);
}

#[test]
fn a_region_of_another_gallery_is_refused_by_name() {
    let mut one = Server::start();
    one.stop();
    let stolen = one.data_dir().join("regions/eastus");
    let other = Server::new(&format!("[[regions]]\nname = 'eastus'\npath = '{}'", stolen.display()));
    let message = complaint(other.serve_command().output().unwrap());
    assert!(message.contains("region eastus") && message.contains("belongs to catalogue"), "{message}");
}

/// Regression: one volume that was not mounted kept the whole server down, and a start that was refused for it left folders in
/// its mount point.
#[test]
fn a_region_whose_volume_is_not_mounted_is_away_until_it_is() {
    let mut server = Server::new("");
    let (mount_point, volume) = (server.path("mount"), server.path("volume"));
    let configure = |server: &Server, required: bool| {
        let path = mount_point.display();
        let config = format!(
            "metrics_listen = 'off'\n[[regions]]\nname = 'eastus'\n[[regions]]\nname = 'westus'\npath = '{path}'\n\
             required = {required}"
        );
        std::fs::write(server.path("galerie.toml"), config).unwrap();
    };
    let is_empty = || std::fs::read_dir(&mount_point).unwrap().count() == 0;
    configure(&server, false);
    server.run();
    server.stop();
    std::fs::rename(&mount_point, &volume).unwrap();
    std::fs::create_dir(&mount_point).unwrap();

    configure(&server, true);
    let message = complaint(server.serve_command().output().unwrap());
    assert!(message.contains("region westus") && message.contains("is its volume mounted?"), "{message}");
    assert!(is_empty(), "something was made in the mount point");

    configure(&server, false);
    server.run();
    assert!(server.log().contains("is its volume mounted?"), "{}", server.log());
    server.ok(&["store", "stats", "--region", "eastus"]);
    let message = complaint(server.client(&["store", "stats", "--region", "westus"]).output().unwrap());
    assert!(message.contains("not available now"), "{message}");
    let of_all = server.client(&["store", "verify"]).output().unwrap();
    assert!(text(&of_all.stdout).contains("eastus"), "what is away hides what is there: {of_all:?}");
    assert!(complaint(of_all).contains("not available now"));
    assert!(is_empty(), "something was made in the mount point");
    std::fs::remove_dir(&mount_point).unwrap();
    std::fs::rename(&volume, &mount_point).unwrap();
    let mounted = std::time::Instant::now();
    while !server.client(&["store", "stats", "--region", "westus"]).output().unwrap().status.success() {
        assert!(mounted.elapsed() < Duration::from_secs(60), "it does not come back: {}", server.log());
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_lost_administrators_file_is_made_anew() {
    let mut server = Server::start();
    let old = server.admin();
    std::fs::copy(server.data_dir().join("admin.json"), server.path("old.json")).unwrap();
    server.stop();
    std::fs::remove_file(server.data_dir().join("admin.json")).unwrap();
    server.run();
    assert!(server.log().contains("galerie admin reset"), "{}", server.log());
    server.stop();
    let said = server.client(&["admin", "reset"]).output().unwrap();
    assert!(said.status.success(), "{}", text(&said.stderr));
    let path = server.data_dir().join("admin.json");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    server.run();
    let new = server.admin();
    assert_eq!((&old["tenantId"], &old["subscriptionId"]), (&new["tenantId"], &new["subscriptionId"]));
    assert_ne!(old["clientSecret"], new["clientSecret"]);
    server.ok(&["gallery", "list"]);
    // What the former administrator knew is worth nothing.
    let output = server
        .client(&["gallery", "list"])
        .env("GALERIE_CLIENT_ID", old["clientId"].as_str().unwrap())
        .env("GALERIE_CLIENT_SECRET", old["clientSecret"].as_str().unwrap())
        .output()
        .unwrap();
    let message = complaint(output);
    assert!(message.contains("signing in") && message.contains("admin reset"), "{message}");
    assert!(!message.contains(old["clientSecret"].as_str().unwrap()), "the secret was printed");
}

#[test]
fn metrics_are_served_on_a_listener_of_their_own() {
    let mut server = Server::new("");
    std::fs::write(server.path("galerie.toml"), "metrics_listen = \"127.0.0.1:0\"").unwrap();
    server.run();
    let line = server.welcome.lines().find(|line| line.contains("metrics")).expect("an address").to_owned();
    let url = line.split_whitespace().last().unwrap();
    server.ok(&["gallery", "list"]);
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    std::io::Write::write_all(&mut stream, format!("GET /{path} HTTP/1.0\r\nHost: {host}\r\n\r\n").as_bytes()).unwrap();
    let answer = crate::server::read_all(stream);
    for metric in ["galerie_build_info", "galerie_http_requests_total", "process_resident_memory_bytes"] {
        assert!(answer.contains(metric), "{metric} is not in\n{answer}");
    }
}
