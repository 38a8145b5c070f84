//! Commands that need no image: connecting, help, completions, and what goes wrong before anything happens.

use std::process::Command;

use crate::server::{Server, complaint, galerie, text};

#[test]
fn the_lines_for_other_clients_hold_real_values() {
    let server = Server::start();
    let admin = server.admin();
    for (client, expected) in [
        ("az", "az login --service-principal"),
        ("python", "ClientSecretCredential("),
        ("js", "disableInstanceDiscovery"),
    ] {
        let lines = server.ok(&["connect", client]);
        assert!(lines.contains(expected), "{client}: {lines}");
        for member in ["endpoint", "caFile", "clientId", "clientSecret", "tenantId"] {
            assert!(lines.contains(admin[member].as_str().unwrap()), "{client} lacks {member}: {lines}");
        }
    }
    // Each account, and so each gallery, has an az profile of its own.
    let az = server.ok(&["connect", "az"]);
    let head = |member: &str| admin[member].as_str().unwrap()[..8].to_owned();
    assert!(az.contains(&format!(".azure-galerie-{}-{}\"", head("tenantId"), head("clientId"))), "{az}");
    let script = format!("{}\n{} gallery list", server.ok(&["connect", "env"]), env!("CARGO_BIN_EXE_galerie"));
    let output = Command::new("sh").args(["-ec", &script]).env_remove("GALERIE_DATA_DIR").current_dir("/").output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
}

/// Regression: the secret was among az's arguments, which everybody on the machine sees in the list of processes.
#[test]
fn the_lines_for_az_give_the_secret_to_no_list_of_processes() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let az = folder.path().join("az");
    let record = "#!/bin/sh\necho \"$@\" >> \"$0.arguments\"\ncase \"$*\" in *@-*) cat > \"$0.stdin\";; esac\n";
    std::fs::write(&az, record).unwrap();
    std::fs::set_permissions(&az, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let lines = server.ok(&["connect", "az"]);
    let output =
        Command::new("sh").args(["-ec", &lines]).env("PATH", path).env("HOME", folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let secret = server.admin()["clientSecret"].as_str().unwrap().to_owned();
    let arguments = std::fs::read_to_string(az.with_extension("arguments")).unwrap();
    assert!(arguments.contains("login --service-principal") && !arguments.contains(&secret), "{arguments}");
    assert_eq!(std::fs::read_to_string(az.with_extension("stdin")).unwrap(), secret);
}

#[test]
fn without_a_server_the_way_to_one_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let output = galerie().args(["gallery", "list"]).current_dir(folder.path()).output().unwrap();
    let message = complaint(output);
    assert!(message.contains("admin.json does not exist") && message.contains("galerie serve"), "{message}");
    let mut server = Server::start();
    server.stop();
    let message = server.fails(1, &["gallery", "list"]);
    assert!(message.contains("Is the server running?"), "{message}");
}

#[test]
fn every_command_explains_itself() {
    let help = |arguments: &[&str]| {
        let output = galerie().args(arguments).arg("--help").output().unwrap();
        assert!(output.status.success(), "{arguments:?}");
        text(&output.stdout)
    };
    assert!(help(&[]).contains("Examples:"));
    for command in ["serve", "publish", "pull", "nbd", "upload", "connect", "store", "completions"] {
        assert!(help(&[command]).contains("Examples:"), "{command}");
    }
    let short = text(&galerie().args(["pull", "-h"]).output().unwrap().stdout);
    let connection = short.split("Connection:").nth(1).and_then(|rest| rest.split("Examples:").next());
    let connection = connection.unwrap_or_else(|| panic!("no such heading: {short}"));
    assert!(connection.contains("--endpoint") && !connection.contains("--region"), "{short}");
    assert!(!short.contains("--client-id") && help(&["pull"]).contains("--client-id"), "{short}");
}

/// What a shell gets for a line whose last word is being typed.
fn completed(server: Option<&Server>, words: &[&str]) -> Vec<String> {
    let mut command = galerie();
    command.env("GALERIE_COMPLETE", "fish").args(["--", "galerie"]).args(words);
    match server {
        Some(server) => command.env("GALERIE_DATA_DIR", server.data_dir()),
        None => command.env("GALERIE_DATA_DIR", "/nowhere"),
    };
    let output = command.output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{words:?}: {}", text(&output.stderr));
    text(&output.stdout).lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_shell_completes_commands_and_what_is_in_the_gallery() {
    for shell in ["bash", "zsh", "fish"] {
        let output = galerie().args(["completions", shell]).output().unwrap();
        assert!(output.status.success() && text(&output.stdout).contains("GALERIE_COMPLETE"), "{shell}");
    }
    assert_eq!(completed(None, &["publ"]), ["publish"]);
    let server = Server::start();
    std::fs::write(server.path("disk.raw"), vec![7; 1 << 20]).unwrap();
    server.ok(&["publish", "disk.raw", "myGallery/web/1.0.0", "--create", "-t", "eastus"]);
    let application =
        ["myGallery/agent/2.0.0", "--create", "--os-type", "Linux", "--install", "i", "--remove", "r", "-t", "eastus"];
    server.ok(&[&["application", "version", "publish", "disk.raw"], &application[..]].concat());
    server.ok(&["user", "create", "grace"]);
    server.ok(&["group", "create", "navy"]);
    server.ok(&["sp", "create", "pipeline"]);
    for (words, expected) in [
        (&["gallery", "show", "my"][..], &["myGallery"][..]),
        (&["version", "list", "mygallery/"], &["mygallery/web"]),
        (&["pull", "my"], &["myGallery/"]),
        (&["pull", "myGallery/web/"], &["myGallery/web/1.0.0", "myGallery/web/latest"]),
        (&["version", "delete", "myGallery/web/"], &["myGallery/web/1.0.0"]),
        (&["definition", "retention", "set", "mygallery/"], &["mygallery/web"]),
        (&["version", "explain-latest", "myGallery/web", "--region", "east"], &["eastus"]),
        (&["pull", "myGallery/web/1.0.0", "--region", "east"], &["eastus"]),
        (&["gallery", "list", "-g", "g"], &["galerie"]),
        (&["gallery", "show", "other"], &[]),
        (&["application", "show", "mygallery/"], &["mygallery/agent"]),
        (&["application", "version", "show", "myGallery/agent/2"], &["myGallery/agent/2.0.0"]),
        (&["user", "disable", "gr"], &["grace@galerie.internal"]),
        (&["user", "delete", "na"], &[]),
        (&["group", "members", "na"], &["navy"]),
        (&["group", "add", "navy", "gr"], &["grace@galerie.internal"]),
        (&["group", "add", "navy", "pipe"], &["pipeline"]),
        (&["sp", "delete", "pipe"], &["pipeline"]),
    ] {
        assert_eq!(completed(Some(&server), words), expected, "{words:?}");
    }
    // Nobody there, and nobody who answers: nothing, in silence and soon.
    assert_eq!(completed(None, &["gallery", "show", "my"]), Vec::<String>::new());
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("https://{}", silent.local_addr().unwrap());
    let data_dir = server.data_dir().display().to_string();
    let words = ["gallery", "show", "--endpoint", &endpoint, "--data-dir", &data_dir, "my"];
    assert_eq!(completed(Some(&server), &words), Vec::<String>::new());
}

/// A secret of the environment goes to a server that somebody named, and not to whichever the working directory has.
#[test]
fn a_key_press_sends_no_secret_to_a_server_that_nobody_named() {
    let server = Server::start();
    std::fs::write(server.path("disk.raw"), vec![7; 1 << 20]).unwrap();
    server.ok(&["publish", "disk.raw", "myGallery/web/1.0.0", "--create", "-t", "eastus"]);
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(server.data_dir(), folder.path().join("galerie-data")).unwrap();
    let completed = |variables: &[(&str, &str)]| {
        let mut command = galerie();
        command.current_dir(folder.path()).env("GALERIE_COMPLETE", "fish").envs(variables.iter().copied());
        let output = command.args(["--", "galerie", "gallery", "show", "my"]).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
        text(&output.stdout).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(completed(&[]), ["myGallery"]);
    let secret = server.admin()["clientSecret"].as_str().unwrap().to_owned();
    let data_dir = server.data_dir().display().to_string();
    assert_eq!(completed(&[("GALERIE_CLIENT_SECRET", &secret)]), Vec::<String>::new());
    assert_eq!(completed(&[("GALERIE_CLIENT_SECRET", &secret), ("GALERIE_DATA_DIR", &data_dir)]), ["myGallery"]);
}

#[test]
fn an_upload_says_the_size_to_make_the_disk_with() {
    let server = Server::new("");
    std::fs::write(server.path("disk.raw"), vec![1; (3 << 20) + 1]).unwrap();
    assert_eq!(server.ok(&["upload", "disk.raw"]).trim(), ((4 << 20) + 512).to_string());
    let message = server.fails(1, &["upload", "disk.raw", "https://localhost:1/blob/x/y"]);
    assert!(message.contains("no SAS URL"), "{message}");
}

/// What the server would refuse after the upload is refused before it, and nothing is made of it.
#[test]
fn publish_looks_at_regions_dates_and_names_first() {
    let server = Server::start();
    std::fs::write(server.path("disk.raw"), vec![7; 1 << 20]).unwrap();
    let publish = |version: &str, rest: &[&str]| {
        let words = [&["publish", "disk.raw", version, "--create", "-t", "eastus"], rest].concat();
        server.client(&words).output().unwrap()
    };
    for (version, rest, expected) in [
        ("g/d/1.0.0", &["-t", "mars"][..], "there is no region 'mars'"),
        ("g/d/1.0.0", &["--location", "mars"], "The server's regions are"),
        ("g/d/1.0.0", &["--end-of-life", "2001-01-01"], "in the past"),
        ("g/d/1.0.0", &["--end-of-life", "soon"], "is no date"),
        ("g/d/1.0", &[], "Major(int).Minor(int).Patch(int)"),
        ("g/d/latest", &[], "`latest` is found, not made"),
    ] {
        let message = complaint(publish(version, rest));
        assert!(message.contains(expected), "{version} {rest:?}: {message}");
    }
    let message = server.fails(1, &["publish", "disk.raw", "typo/d/1.0.0"]);
    assert!(message.contains("there is no gallery 'typo'"), "{message}");
    assert_eq!(server.json(&["gallery", "list", "-o", "json"]).as_array().map(Vec::len), Some(0));
    let shown = publish("g/d/1.0.0", &["--end-of-life", "2099-01-01"]);
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    let shown = server.ok(&["gallery", "show", "g"]);
    assert!(shown.contains("soft delete") && shown.contains("off: what is deleted is gone"), "{shown}");
}

#[test]
fn who_is_deleted_is_asked_about_and_named() {
    let server = Server::start();
    server.ok(&["user", "create", "grace"]);
    server.ok(&["group", "create", "navy"]);
    server.ok(&["sp", "create", "pipeline"]);
    for (kind, name, said) in [
        ("user", "grace", "Deleted user grace@galerie.internal ("),
        ("group", "navy", "Deleted group navy ("),
        ("sp", "pipeline", "Deleted service principal pipeline ("),
    ] {
        let message = server.fails(1, &[kind, "delete", name]);
        assert!(message.contains("Say --yes."), "{message}");
        let output = server.client(&[kind, "delete", name, "--yes"]).output().unwrap();
        assert!(output.status.success() && text(&output.stderr).contains(said), "{}", text(&output.stderr));
        let message = server.fails(3, &[kind, "delete", name, "--yes"]);
        assert!(message.contains(&format!("'{name}'")) && message.contains(&format!("{kind} list")), "{message}");
    }
    // What people trip over is said when they begin.
    for (words, said) in [
        (["user", "create", "hopper"], "az role assignment create --assignee hopper@galerie.internal"),
        (["group", "create", "ops"], ""),
        (["group", "create", "ops"], "2 groups are called ops"),
    ] {
        let output = server.client(&words).output().unwrap();
        assert!(output.status.success() && text(&output.stderr).contains(said), "{words:?}: {}", text(&output.stderr));
    }
    // The audit's list says who it was in words, too.
    let listed = server.ok(&["audit", "list"]);
    let operator = server.admin()["clientId"].as_str().unwrap().to_owned();
    assert!(listed.contains(&format!("({operator})")), "{listed}");
}
