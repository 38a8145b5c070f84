//! Publishing, pulling and serving images: bytes in, the same bytes out, in every region.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::UnixListener,
    },
    path::Path,
    process::Stdio,
};

use serde_json::Value;

use crate::{
    images::{assert_same, convert, disk, fill},
    server::{Server, complaint, signal},
};

/// The `sent` figure of what publish printed, in bytes: `1.50 MiB sent`.
fn sent_bytes(printed: &str) -> f64 {
    let (before, _) = printed.rsplit_once(" sent").expect("a figure");
    let mut words = before.rsplit(' ');
    let unit = match words.next() {
        Some("B") => 1.0,
        Some("KiB") => 1024.0,
        Some("MiB") => 1024.0 * 1024.0,
        other => panic!("a unit, not {other:?} in {printed}"),
    };
    words.next().unwrap().parse::<f64>().unwrap() * unit
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
}

#[test]
fn every_format_gives_the_same_image_in_every_region() {
    let server = Server::start();
    // Not a whole number of MiB, nor of clusters.
    let mut bytes = disk(70, 1);
    bytes.truncate((70 << 20) - 3 * 512);
    let raw = server.path("disk.raw");
    fs::write(&raw, &bytes).unwrap();
    convert(&raw, &["-O", "qcow2"], &server.path("disk.qcow2"));
    convert(&raw, &["-O", "qcow2", "-c", "-o", "compression_type=zstd"], &server.path("zstd.qcow2"));
    server.ok(&[
        "publish",
        "disk.raw",
        "myGallery/web/1.0.0",
        "--create",
        "-t",
        "eastus=2",
        "-t",
        "West Europe",
        "--tag",
        "a=b",
    ]);
    server.ok(&["publish", "disk.qcow2", "myGallery/web/1.0.1"]);
    let printed = server.ok(&["publish", "zstd.qcow2", "mygallery/WEB/1.0.2", "--base", "1.0.0"]);
    assert!(sent_bytes(&printed) < 1024.0, "an image that is there was sent again: {printed}");

    let version = server.json(&["version", "show", "myGallery/web/1.0.0", "-o", "json"]);
    assert_eq!(version["properties"]["provisioningState"], "Succeeded");
    assert_eq!(version["tags"]["a"], "b");
    let targets = &version["properties"]["publishingProfile"]["targetRegions"];
    assert_eq!((&targets[0]["name"], &targets[0]["regionalReplicaCount"]), (&"East US".into(), &2.into()));
    let mut manifests = Vec::new();
    for (index, arguments) in
        [["1.0.0", "eastus"], ["1.0.0", "westeurope"], ["1.0.1", "eastus"], ["latest", "East US"]].iter().enumerate()
    {
        let [version, region] = arguments;
        let file = format!("{index}.raw");
        let reference = format!("myGallery/web/{version}");
        let pulled = server.json(&["pull", &reference, "-o", &file, "--region", region, "--json"]);
        assert!(fs::read(server.path(&file)).unwrap() == bytes, "{arguments:?} has other bytes");
        manifests.push(pulled["manifestId"].clone());
    }
    manifests.dedup();
    assert_eq!(manifests.len(), 1, "equal bytes have equal ids: {manifests:?}");
    for region in ["eastus", "westeurope"] {
        server.ok(&["pull", "myGallery/web/1.0.0", "-o", &format!("{region}.vhd"), "--region", region]);
    }
    assert!(fs::read(server.path("eastus.vhd")).unwrap() == fs::read(server.path("westeurope.vhd")).unwrap());
    server.ok(&["publish", "eastus.vhd", "myGallery/web/2.0.0"]);
    server.ok(&["pull", "myGallery/web/2.0.0", "-o", "again.raw"]);
    assert_same("raw", &server.path("again.raw"), "vpc", &server.path("eastus.vhd"));
}

#[test]
fn the_next_version_sends_what_changed_and_keeps_the_rest() {
    let mut server = Server::start();
    let mut bytes = disk(96, 2);
    fs::write(server.path("disk.raw"), &bytes).unwrap();
    let first =
        sent_bytes(&server.ok(&["publish", "disk.raw", "g/d/1.0.0", "--create", "-t", "eastus", "-t", "westus"]));
    fill(&mut bytes[50 << 20..(50 << 20) + 300_000], &mut 99);
    fs::write(server.path("disk.raw"), &bytes).unwrap();
    // What a version has survives a restart.
    server.stop();
    server.run();
    let second = sent_bytes(&server.ok(&["publish", "disk.raw", "g/d/1.0.1", "-t", "eastus", "-t", "westus"]));
    assert!(first > f64::from(40 << 20) && second < f64::from(2 << 20), "{first} bytes, then {second}");
    server.ok(&["pull", "g/d/1.0.1", "-o", "pulled.raw", "--region", "westus"]);
    assert!(fs::read(server.path("pulled.raw")).unwrap() == bytes);
    let report = server.json(&["store", "verify", "-o", "json"]);
    assert!(report.as_array().unwrap().iter().all(|region| region["report"]["sound"] == true), "{report}");
    server.ok(&["store", "collect", "--region", "westus"]);
    server.stop();
    server.ok(&["store", "verify", "--offline"]);
}

#[test]
fn versions_are_listed_shown_and_deleted() {
    let server = Server::start();
    fs::write(server.path("disk.raw"), disk(4, 3)).unwrap();
    for version in ["1.9.0", "1.10.0"] {
        server.ok(&["publish", "disk.raw", &format!("g/d/{version}"), "--create", "-t", "eastus", "-g", "myRG"]);
    }
    server.ok(&["publish", "disk.raw", "g/d/2.0.0", "--exclude-from-latest"]);
    assert_eq!(names(&server.json(&["version", "list", "g/d", "-o", "json"])), ["2.0.0", "1.10.0", "1.9.0"]);
    assert_eq!(names(&server.json(&["gallery", "list", "-g", "myRG", "-o", "json"])), ["g"]);
    assert_eq!(names(&server.json(&["definition", "list", "g", "-o", "json"])), ["d"]);
    let explained = server.ok(&["version", "explain-latest", "g/d", "--region", "eastus"]);
    assert!(explained.contains("excluded from latest") && explained.contains("latest in eastus"), "{explained}");
    let explained = server.json(&["version", "explain-latest", "g/d", "--region", "eastus", "-o", "json"]);
    assert_eq!(explained[1]["version"], "1.10.0");
    assert_eq!(explained[1]["isLatest"], true);
    let message = server.fails(3, &["pull", "g/d/latest", "-o", "none.raw", "--region", "westus"]);
    assert!(message.contains("explain-latest g/d --region westus"), "{message}");
    let message = server.fails(3, &["version", "explain-latest", "g/d", "--region", "westus"]);
    assert!(message.contains("no version is `latest`"), "{message}");
    let message = server.fails(1, &["version", "explain-latest", "g/d", "--region", "weteurope"]);
    assert!(message.contains("there is no region 'weteurope'") && message.contains("westeurope"), "{message}");
    let message = server.fails(1, &["pull", "g/d/latest", "-o", "no-folder/latest.raw"]);
    assert!(message.contains("no-folder/latest.raw: No such file"), "{message}");
    let shown = server.json(&["version", "show", "g/d/latest", "-o", "json"]);
    assert_eq!(shown["name"], "1.10.0");
    let listed = server.ok(&["version", "list", "g/d"]);
    let marks: Vec<_> = listed.lines().map(|line| line.split_whitespace().last().unwrap_or_default()).collect();
    assert_eq!(marks[..3], ["LATEST", "excluded", "latest"], "{listed}");
    let pulled = server.json(&["pull", "g/d/latest", "-o", "latest.raw", "--json"]);
    assert!(pulled["versionId"].as_str().unwrap().ends_with("/1.10.0"), "{pulled}");

    let message = server.fails(1, &["version", "delete", "g/d/1.9.0"]);
    assert!(message.contains("--yes"), "{message}");
    let message = server.fails(1, &["definition", "delete", "g/d", "--yes"]);
    assert!(message.contains("Delete what is inside first"), "{message}");
    for version in ["1.9.0", "1.10.0", "2.0.0"] {
        server.ok(&["version", "delete", &format!("g/d/{version}"), "-y"]);
    }
    server.fails(3, &["version", "show", "g/d/1.9.0"]);
    server.fails(3, &["version", "delete", "g/d/1.9.0", "-y"]);
    server.ok(&["definition", "delete", "g/d", "-y"]);
    server.ok(&["gallery", "delete", "g", "-y"]);
    let message = server.fails(3, &["gallery", "show", "g"]);
    assert!(message.contains("'g'"), "{message}");
    let id = format!(
        "/subscriptions/{}/resourceGroups/myRG/providers/Microsoft.Compute/galleries/g",
        server.admin()["subscriptionId"].as_str().unwrap()
    );
    server.fails(3, &["gallery", "show", &id]);
}

#[test]
fn what_cannot_be_published_is_refused_and_leaves_nothing() {
    let server = Server::start();
    fs::write(server.path("disk.raw"), disk(4, 4)).unwrap();
    convert(&server.path("disk.raw"), &["-O", "vhdx"], &server.path("disk.vhdx"));
    convert(&server.path("disk.raw"), &["-O", "qcow2"], &server.path("cut.qcow2"));
    let whole = fs::read(server.path("cut.qcow2")).unwrap();
    fs::write(server.path("cut.qcow2"), &whole[..whole.len() / 2]).unwrap();
    fs::write(server.path("README.md"), "# Not a disk\n").unwrap();
    let message = server.fails(1, &["publish", "disk.raw", "g/d/1.0.0", "-t", "eastus"]);
    assert!(message.contains("there is no gallery 'g'") && message.contains("--create"), "{message}");
    let message = server.fails(1, &["publish", "disk.raw", "g/d/1.0.0", "--create", "-t", "moon"]);
    assert!(message.contains("moon"), "{message}");
    server.ok(&["publish", "disk.raw", "g/d/1.0.0", "--create", "-t", "eastus"]);
    for (arguments, expected) in [
        (["disk.raw", "g/d/1.0.0"], "exists already"),
        (["disk.vhdx", "g/d/1.0.1"], "qemu-img convert"),
        (["cut.qcow2", "g/d/1.0.1"], "cut.qcow2"),
        (["nowhere.raw", "g/d/1.0.1"], "nowhere.raw: No such file"),
        (["README.md", "g/d/1.0.1"], "README.md is hardly a disk"),
        (["disk.raw", "g/d/latest"], "not one version"),
        (["disk.raw", "g/other/1.0.0"], "there is no image definition 'other'"),
    ] {
        let [file, version] = arguments;
        let message = server.fails(1, &["publish", file, version]);
        assert!(message.contains(expected), "{arguments:?}: {message}");
    }
    let message = server.fails(2, &["publish", "disk.raw", "g-d/d/1.0.0"]);
    assert!(message.contains("dashes, are disallowed"), "{message}");
    assert_eq!(names(&server.json(&["version", "list", "g/d", "-o", "json"])), ["1.0.0"]);
    assert_no_temporary_disk(&server);
}

#[test]
fn an_interrupted_publish_cleans_up_and_a_retry_works() {
    let mut bytes = vec![0; 256 << 20];
    fill(&mut bytes, &mut 5);
    for name in ["INT", "TERM"] {
        let server = Server::start();
        fs::write(server.path("disk.raw"), &bytes).unwrap();
        let arguments = ["publish", "disk.raw", "g/d/1.0.0", "--create", "-t", "eastus"];
        let child = server.client(&arguments).stderr(Stdio::piped()).spawn().unwrap();
        wait_for_log(&server, "/blob/");
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{name}");
        assert_no_temporary_disk(&server);
        assert_eq!(names(&server.json(&["version", "list", "g/d", "-o", "json"])), [""; 0]);
        server.ok(&arguments);
        server.ok(&["pull", "g/d/1.0.0", "-o", "pulled.raw"]);
        assert!(fs::read(server.path("pulled.raw")).unwrap() == bytes);
    }
}

/// Waits until the server has logged a request with this path.
fn wait_for_log(server: &Server, part: &str) {
    let mut tail = std::process::Command::new("tail")
        .args(["-n", "+1", "-F"])
        .arg(server.path("log"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let found =
        BufReader::new(tail.stdout.take().unwrap()).lines().map_while(Result::ok).any(|line| line.contains(part));
    tail.kill().unwrap();
    tail.wait().unwrap();
    assert!(found, "the log ended");
}

fn assert_no_temporary_disk(server: &Server) {
    let disks: Vec<String> =
        server.log().lines().filter(|line| line.contains("galerie-publish-")).map(str::to_owned).collect();
    let deleted = disks.iter().filter(|line| line.contains("method=DELETE")).count();
    let made =
        disks.iter().filter(|line| line.contains("method=PUT") && line.contains("Microsoft.Compute/disks")).count();
    assert!(deleted >= made, "{made} disks were made, {deleted} deleted");
}

#[test]
fn a_pull_writes_the_whole_file_or_none() {
    let server = Server::start();
    fs::write(server.path("disk.raw"), disk(8, 6)).unwrap();
    server.ok(&["publish", "disk.raw", "g/d/1.0.0", "--create", "-t", "eastus"]);
    fs::write(server.path("there.raw"), "mine").unwrap();
    let message = server.fails(1, &["pull", "g/d/1.0.0", "-o", "there.raw"]);
    assert!(message.contains("--force"), "{message}");
    assert_eq!(fs::read(server.path("there.raw")).unwrap(), b"mine");
    fs::set_permissions(server.path("there.raw"), fs::Permissions::from_mode(0o600)).unwrap();
    server.ok(&["pull", "g/d/1.0.0", "-o", "there.raw", "--force"]);
    assert_same("raw", &server.path("there.raw"), "raw", &server.path("disk.raw"));
    let mode = fs::metadata(server.path("there.raw")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "who could not read it still cannot");
    // Regression: what is no file was replaced by one; as root that took /dev/null from the whole machine.
    let _socket = UnixListener::bind(server.path("socket.raw")).unwrap();
    std::os::unix::fs::symlink("there.raw", server.path("link.raw")).unwrap();
    for (name, part) in [("socket.raw", "no regular file"), ("link.raw", "symbolic link"), ("-", "standard output")] {
        let message = server.fails(1, &["pull", "g/d/1.0.0", "-o", name, "--format", "raw", "--force"]);
        assert!(message.contains(part), "{message}");
    }
    assert!(fs::symlink_metadata(server.path("socket.raw")).unwrap().file_type().is_socket());
    let message = server.fails(1, &["pull", "g/d/1.0.0", "-o", "disk.img2"]);
    assert!(message.contains("--format"), "{message}");
    server.fails(1, &["pull", "g/d/1.0.0", "-o", "nowhere/x.raw"]);
    server.fails(3, &["pull", "g/d/9.9.9", "-o", "x.raw"]);
    server.fails(3, &["pull", "g/d/1.0.0", "-o", "x.raw", "--region", "westus"]);
    damage_packs(&server.data_dir().join("regions/eastus"));
    let message = complaint(server.client(&["pull", "g/d/1.0.0", "-o", "x.raw"]).output().unwrap());
    assert!(!message.is_empty());
    let left: Vec<_> = fs::read_dir(server.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with("x.raw")), "{left:?}");
}

/// Regression: what heals a damaged image, its bytes published again, was refused where they build upon the damaged version.
#[test]
fn publishing_the_same_bytes_heals_the_version_they_build_upon() {
    let server = Server::start();
    let bytes = disk(24, 9);
    fs::write(server.path("disk.raw"), &bytes).unwrap();
    server.ok(&["publish", "disk.raw", "g/d/1.0.0", "--create", "-t", "eastus"]);
    damage_packs(&server.data_dir().join("regions/eastus/tenants"));
    server.fails(1, &["store", "verify", "--region", "eastus"]);
    let message = server.fails(1, &["pull", "g/d/1.0.0", "-o", "x.raw"]);
    assert!(message.contains("damaged") && message.contains("store verify --region eastus"), "{message}");
    let again = server.client(&["publish", "disk.raw", "g/d/1.0.1", "-t", "eastus"]).output().unwrap();
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(again.status.success() && said.contains("Sending all of "), "{said}");
    for version in ["g/d/1.0.0", "g/d/1.0.1"] {
        server.ok(&["pull", version, "-o", "x.raw", "--force"]);
        assert!(fs::read(server.path("x.raw")).unwrap() == bytes, "{version}");
    }
}

/// Turns a byte in the middle of every pack.
fn damage_packs(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            damage_packs(&entry.path());
        } else if entry.metadata().unwrap().len() > 100_000 {
            let mut bytes = fs::read(entry.path()).unwrap();
            for at in (1000..bytes.len() - 1000).step_by(10_000) {
                bytes[at] ^= 1;
            }
            fs::write(entry.path(), bytes).unwrap();
        }
    }
}

#[test]
fn an_nbd_export_has_the_images_bytes() {
    let server = Server::start();
    let bytes = disk(80, 7);
    fs::write(server.path("disk.raw"), &bytes).unwrap();
    server.ok(&["publish", "disk.raw", "g/d/1.0.0", "--create", "-t", "eastus", "-t", "westus"]);
    let socket = server.path("disk.sock");
    let mut child = server
        .client(&["nbd", "g/d/latest", "--region", "westus", "--socket", socket.to_str().unwrap()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let first = BufReader::new(child.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    assert!(first.starts_with("Serving /subscriptions/") && first.ends_with("from westus"), "{first}");
    let export = format!("nbd+unix:///?socket={}", socket.display());
    assert_same("raw", Path::new(&export), "raw", &server.path("disk.raw"));
    signal(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(!socket.exists());
}
