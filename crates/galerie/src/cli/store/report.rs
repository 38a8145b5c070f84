//! What `galerie store` tells people: what was found and freed, what waits for what and until when, and what to do.

use galerie_arm::timestamp;
use serde_json::Value;

use super::super::{
    document::{at, items, text},
    output,
};

/// Most damaged resources that are listed.
const MOST_LISTED: usize = 20;

/// How much is stored, what of it is garbage, and how it is looked after.
pub(super) fn stats(report: &Value) -> Vec<String> {
    let mut lines = vec![format!(
        "{} in {}, {}.",
        bytes(report, "packBytes"),
        counted(number(report, "packs"), "pack"),
        counted(number(report, "blobs"), "blob"),
    )];
    lines.extend(space(at(report, "space")));
    let (quarantined, unreadable) = (number(report, "quarantined"), number(report, "unreadablePacks"));
    if quarantined + unreadable > 0 {
        lines.push(format!(
            "Damaged: {} and {} are left out; `galerie store verify` says which images that hurts.",
            counted(quarantined, "blob"),
            counted(unreadable, "pack"),
        ));
    }
    lines.extend(scrub(at(report, "scrub")));
    lines.push(format!(
        "Index: {} on disk, {} in memory.",
        bytes(report, "index.diskBytes"),
        bytes(report, "index.memoryBytes")
    ));
    lines
}

/// What a collection did, and what is left to do.
pub(super) fn collection(report: &Value) -> Vec<String> {
    let (deleted, copied) = (number(report, "deletedPacks"), number(report, "copiedBytes"));
    let given_back = at(report, "givenBackBytes").as_i64().unwrap_or(0);
    let mut lines = Vec::new();
    match (deleted, given_back) {
        (0, _) => lines.push("Nothing was freed in this run.".to_owned()),
        (_, 0..) => lines.push(format!(
            "Freed {} by deleting {}.",
            output::size(given_back.unsigned_abs()),
            counted(deleted, "pack")
        )),
        // What was copied now is given back by the next run.
        _ => lines.push(format!("Deleted {}.", counted(deleted, "pack"))),
    }
    if copied > 0 {
        lines.push(format!("Copied {} that is alive out of packs that go.", output::size(copied)));
    }
    let (condemned, uncopied) = (number(report, "condemnedPacks"), number(report, "uncopiedPacks"));
    if condemned > 0 {
        lines.push(format!(
            "Condemned {}: what is alive there is copied out by the next run, then {}.",
            counted(condemned, "pack"),
            if condemned == 1 { "it goes" } else { "they go" }
        ));
    }
    if uncopied > 0 {
        lines.push(format!(
            "{} could not be emptied, for want of room or because something there is damaged: make room, or run `galerie \
             store verify`.",
            counted(uncopied, "pack")
        ));
    }
    lines.extend(space(at(report, "space")));
    lines
}

/// What verifying found.
pub(super) fn verification(report: &Value) -> Vec<String> {
    let mut lines = vec![format!(
        "Read {} in {}, {}.",
        bytes(report, "readBytes"),
        counted(number(report, "packs"), "pack"),
        counted(number(report, "blobs"), "blob"),
    )];
    let (packs, blobs, missing) =
        (number(report, "damagedPackCount"), number(report, "damagedBlobCount"), number(report, "missingBlobCount"));
    let known = number(report, "knownDamagedBlobCount");
    let left_out = (known > 0)
        .then(|| format!("{} of old damage still left out, until the packs are collected.", counted(known, "blob")));
    if packs + blobs + missing == 0 {
        lines.push(match &left_out {
            None => "Everything is as it was stored, and every image is complete.".to_owned(),
            Some(_) => "Every image is complete, and nothing else is damaged.".to_owned(),
        });
        lines.extend(left_out);
        return lines;
    }
    lines.extend(left_out);
    if blobs > 0 {
        lines.push(format!("Damaged: {}, not served any more.", counted(blobs, "blob")));
    }
    if packs > 0 {
        let packs = counted(packs, "pack");
        lines.push(format!("Not as written: {packs}. What reads in them is served; -o json says what is wrong."));
    }
    if missing > 0 {
        lines.push(format!("Images lack {}.", counted(missing, "blob")));
    }
    lines.extend(hurt(report, number(report, "hurtResourceCount")));
    lines
}

/// The resources that damage hurts; nothing when there are none.
fn hurt(report: &Value, count: u64) -> Vec<String> {
    let listed = items(report, "hurtResources").iter().take(MOST_LISTED);
    let mut lines: Vec<String> = listed
        .map(|hurt| {
            let healing = at(hurt, "healing").as_bool() == Some(true);
            let what = if healing { "is copied from another region" } else { "NO OTHER REGION HAS IT" };
            format!("  {}  {what}", text(hurt, "id"))
        })
        .collect();
    let left = count.saturating_sub(lines.len() as u64);
    if left > 0 {
        lines.push(format!("  and {left} more; -o json has them."));
    }
    if !lines.is_empty() {
        lines.insert(0, format!("Hurt: {}.", counted(count, "resource")));
    }
    lines
}

/// What is alive, and why garbage is still there.
fn space(space: &Value) -> Vec<String> {
    if let Some(problem) = at(space, "problem").as_str() {
        return vec![format!("What is garbage cannot be said, and nothing is collected: {problem}")];
    }
    if space.is_null() {
        return Vec::new();
    }
    let dead = number(space, "deadBytes");
    let mut lines = vec![format!("Alive: {}. Garbage: {}.", bytes(space, "liveBytes"), output::size(dead))];
    let garbage = |sum: &str| (number(space, &format!("{sum}.packs")), number(space, &format!("{sum}.deadBytes")));
    let mut add = |sum: &str, why: &str| {
        let (packs, bytes) = garbage(sum);
        if packs > 0 && bytes > 0 {
            lines.push(format!("  {} in {} {why}", output::size(bytes), counted(packs, "pack")));
        }
    };
    let work = work_under_way(space);
    add("kept", "that are at least half alive: it goes when more of them dies.");
    add("beingWritten", &format!("that may be being written: looked at again when what is under way has ended{work}."));
    add("toCondemn", "waits for the next run, which condemns them.");
    add("waitingForPins", &format!("is condemned and waits until work that began before has ended{work}."));
    add("toEmpty", "is condemned: the next run copies out what is alive, and a later one deletes them.");
    let until = moment(space, "graceEndsMs");
    add(
        "inGrace",
        &format!(
            "is condemned and empty; readers that may be on their way have until {until}, and the run after that deletes them."
        ),
    );
    add("toDelete", "is condemned and empty: the next run deletes them.");
    lines.extend(unreadable(space));
    let waits = dead > garbage("kept").1;
    let next = moment(space, "nextCollectionMs");
    match (waits, next.is_empty()) {
        (true, false) => {
            lines.push(format!("The next run is at {next}, or now, with `galerie store collect`."));
        }
        (true, true) => lines.push("The next run is whenever `galerie store collect` is called.".to_owned()),
        (false, _) => {}
    }
    lines
}

/// What becomes of packs that do not read.
fn unreadable(space: &Value) -> Option<String> {
    let packs = number(space, "unreadable.packs");
    let end = moment(space, "unreadableEndMs");
    let fate = if end.is_empty() {
        "and are kept: images lack something that may be there (`galerie store verify`).".to_owned()
    } else {
        format!("and that nothing is lacking for: they are deleted after {end}, if they still do not read.")
    };
    let what =
        || format!("  {} in {} that do not read {fate}", bytes(space, "unreadable.bytes"), counted(packs, "pack"));
    (packs > 0).then(what)
}

/// The kinds of work that hold pins: `: an upload, a copy`.
fn work_under_way(space: &Value) -> String {
    let mut kinds: Vec<String> = items(space, "pins").iter().map(|pin| text(pin, "work")).collect();
    kinds.sort_unstable();
    kinds.dedup();
    if kinds.is_empty() { String::new() } else { format!(" ({})", kinds.join(", ")) }
}

fn scrub(scrub: &Value) -> Vec<String> {
    let pass = |pass: &Value| {
        let damage = match (number(pass, "damagedBlobs"), number(pass, "damagedPacks")) {
            (0, 0) => "nothing damaged".to_owned(),
            (blobs, packs) => format!("{} and {} damaged", counted(blobs, "blob"), counted(packs, "pack")),
        };
        format!("{} in {}, {damage}", bytes(pass, "readBytes"), counted(number(pass, "packs"), "pack"))
    };
    let mut lines = Vec::new();
    let (running, last) = (at(scrub, "running"), at(scrub, "last"));
    match text(scrub, "state").as_str() {
        "off" => lines.push("Scrubbing is off (scrub_rate_mib_s = 0).".to_owned()),
        "running" => lines.push(format!(
            "Scrubbing since {}, {} a second at most: {} so far.",
            moment(running, "beganMs"),
            bytes(scrub, "rateBytesPerSecond"),
            pass(running)
        )),
        "resting" if !last.is_null() => lines.push(format!("Scrubbing begins again at {}.", moment(scrub, "nextMs"))),
        _ => {}
    }
    if !last.is_null() {
        lines.push(format!("Last scrubbed whole at {}: {}.", moment(last, "endedMs"), pass(last)));
    }
    lines.extend(hurt(scrub, number(scrub, "hurtResourceCount")));
    lines
}

fn number(document: &Value, path: &str) -> u64 {
    at(document, path).as_u64().unwrap_or(0)
}

fn bytes(document: &Value, path: &str) -> String {
    output::size(number(document, path))
}

fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// A moment in ms, to the second; nothing when there is none.
fn moment(document: &Value, path: &str) -> String {
    let Some(ms) = at(document, path).as_i64() else { return String::new() };
    let text = timestamp::format_ms(ms);
    text.get(..19).map_or(text.clone(), |second| format!("{} UTC", second.replace('T', " ")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(lines: &[String], expected: &[&str]) {
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_collection_says_what_waits_and_until_when() {
        let sum = |packs: u64, dead: u64| json!({ "packs": packs, "bytes": dead, "liveBytes": 0, "deadBytes": dead });
        let report = json!({
            "deletedPacks": 1, "givenBackBytes": 3 << 20, "copiedBytes": 0, "condemnedPacks": 2, "uncopiedPacks": 0,
            "space": {
                "liveBytes": 5 << 20, "deadBytes": 9 << 20, "kept": sum(4, 1 << 20), "waitingForPins": sum(1, 2 << 20),
                "inGrace": sum(2, 6 << 20), "graceEndsMs": 1_800_000_060_000_i64,
                "nextCollectionMs": 1_800_003_600_000_i64, "pins": [{ "work": "chunk-upload" }],
            },
        });
        check(
            &collection(&report),
            &[
                "Freed 3.00 MiB by deleting 1 pack.",
                "Condemned 2 packs: what is alive there is copied out by the next run, then they go.",
                "Alive: 5.00 MiB. Garbage: 9.00 MiB.",
                "  1.00 MiB in 4 packs that are at least half alive: it goes when more of them dies.",
                "  2.00 MiB in 1 pack is condemned and waits until work that began before has ended (chunk-upload).",
                "  6.00 MiB in 2 packs is condemned and empty; readers that may be on their way have until 2027-01-15 08:01:00 UTC, \
                 and the run after that deletes them.",
                "The next run is at 2027-01-15 09:00:00 UTC, or now, with `galerie store collect`.",
            ],
        );
        let nothing = json!({ "space": { "liveBytes": 1024, "deadBytes": 0 } });
        check(&collection(&nothing), &["Nothing was freed in this run.", "Alive: 1.00 KiB. Garbage: 0 B."]);
        let unreadable = json!({ "packs": 2, "bytes": 2048 });
        let kept =
            json!({ "space": { "liveBytes": 0, "deadBytes": 0, "unreadable": unreadable, "unreadableEndMs": null } });
        check(
            &collection(&kept)[2..],
            &[
                "  2.00 KiB in 2 packs that do not read and are kept: images lack something that may be there (`galerie store verify`).",
            ],
        );
        let end = 1_800_000_060_000_i64;
        let goes =
            json!({ "space": { "liveBytes": 0, "deadBytes": 0, "unreadable": unreadable, "unreadableEndMs": end } });
        check(
            &collection(&goes)[2..],
            &[
                "  2.00 KiB in 2 packs that do not read and that nothing is lacking for: they are deleted after 2027-01-15 08:01:00 \
               UTC, if they still do not read.",
            ],
        );
        let stuck = json!({ "space": { "problem": "live manifest x: a segment is gone" } });
        assert!(collection(&stuck)[1].contains("nothing is collected: live manifest x"), "{stuck}");
    }

    #[test]
    fn verification_names_who_is_hurt() {
        let sound = json!({ "packs": 1, "blobs": 2, "readBytes": 2048, "damagedPackCount": 0 });
        check(
            &verification(&sound),
            &["Read 2.00 KiB in 1 pack, 2 blobs.", "Everything is as it was stored, and every image is complete."],
        );
        let healed = json!({ "packs": 1, "blobs": 2, "readBytes": 2048, "knownDamagedBlobCount": 1 });
        check(
            &verification(&healed)[1..],
            &[
                "Every image is complete, and nothing else is damaged.",
                "1 blob of old damage still left out, until the packs are collected.",
            ],
        );
        let hurt = |id: &str, healing: bool| json!({ "id": id, "healing": healing });
        let report = json!({ "packs": 3, "blobs": 9, "readBytes": 2048, "damagedPackCount": 1, "damagedBlobCount": 2,
            "missingBlobCount": 2, "hurtResourceCount": 3, "hurtResources": [hurt("/a", true), hurt("/b", false)] });
        check(
            &verification(&report)[1..],
            &[
                "Damaged: 2 blobs, not served any more.",
                "Not as written: 1 pack. What reads in them is served; -o json says what is wrong.",
                "Images lack 2 blobs.",
                "Hurt: 3 resources.",
                "  /a  is copied from another region",
                "  /b  NO OTHER REGION HAS IT",
                "  and 1 more; -o json has them.",
            ],
        );
    }

    #[test]
    fn stats_say_how_far_scrubbing_is() {
        let report = json!({ "packBytes": 4096, "packs": 2, "blobs": 5, "quarantined": 1, "unreadablePacks": 0,
            "index": { "diskBytes": 0, "memoryBytes": 1024 },
            "scrub": { "state": "running", "rateBytesPerSecond": 8 << 20,
                "running": { "beganMs": 1_800_000_000_000_i64, "packs": 1, "readBytes": 1024, "damagedBlobs": 0 },
                "last": null, "hurtResourceCount": 0, "hurtResources": [] } });
        check(
            &stats(&report),
            &[
                "4.00 KiB in 2 packs, 5 blobs.",
                "Damaged: 1 blob and 0 packs are left out; `galerie store verify` says which images that hurts.",
                "Scrubbing since 2027-01-15 08:00:00 UTC, 8.00 MiB a second at most: 1.00 KiB in 1 pack, nothing damaged so far.",
                "Index: 0 B on disk, 1.00 KiB in memory.",
            ],
        );
    }
}
