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
    for shell in ["bash", "zsh", "fish"] {
        let output = galerie().args(["completions", shell]).output().unwrap();
        assert!(output.status.success() && text(&output.stdout).contains("publish"), "{shell}");
    }
}

#[test]
fn an_upload_says_the_size_to_make_the_disk_with() {
    let server = Server::new("");
    std::fs::write(server.path("disk.raw"), vec![1; (3 << 20) + 1]).unwrap();
    assert_eq!(server.ok(&["upload", "disk.raw"]).trim(), ((4 << 20) + 512).to_string());
    let message = server.fails(1, &["upload", "disk.raw", "https://localhost:1/blob/x/y"]);
    assert!(message.contains("no SAS URL"), "{message}");
}
