//! What the server would refuse at the end, looked at before anything is made or sent.

use galerie_arm::timestamp;

use super::PublishArgs;
use crate::{
    cli::{
        failure::{Failure, Result},
        regions,
    },
    client::Client,
};

/// Checks dates and regions.
///
/// # Errors
/// What is wrong with one of them.
pub(super) async fn check(client: &Client, args: &PublishArgs) -> Result<()> {
    if let Some(date) = &args.end_of_life {
        check_end_of_life(date, now_ms())?;
    }
    let targets = args.target_regions.iter().map(|target| &target.location);
    regions::check(client, args.location.iter().chain(targets)).await
}

fn check_end_of_life(date: &str, now_ms: i64) -> Result<()> {
    match timestamp::parse_ms(date) {
        Some(end_ms) if end_ms > now_ms => Ok(()),
        Some(_) => Err(Failure::new(format!("--end-of-life: '{date}' is in the past"))),
        None => Err(Failure::new(format!("--end-of-life: '{date}' is no date"))
            .advise("A date such as 2028-01-31, or a time such as 2028-01-31T12:00:00Z.")),
    }
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_future_ones() {
        let now_ms = timestamp::parse_ms("2026-11-26T12:00:00Z").unwrap();
        for date in ["2026-11-27", "2026-11-26T12:00:01Z", "2099-01-01T00:00:00+02:00"] {
            assert!(check_end_of_life(date, now_ms).is_ok(), "{date}");
        }
        for date in ["2026-11-26", "2026-13-01", "soon", "", "31.12.2027"] {
            assert!(check_end_of_life(date, now_ms).is_err(), "{date}");
        }
    }
}
