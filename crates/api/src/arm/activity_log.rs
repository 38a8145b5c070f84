//! `GET /subscriptions/{s}/providers/Microsoft.Insights/eventtypes/management/values`: the Activity Log, which
//! `az monitor activity-log list` asks for.

use galerie_arm::{ArmError, timestamp};
use galerie_control::ActivityFilter;
use serde_json::{Map, Value};

use super::{
    Answer,
    call::{Call, GET},
    response, tracked,
};

/// Longest filter that is read, in bytes.
const LONGEST_FILTER_BYTES: usize = 4096;

/// A page of events; `$filter` narrows them, `$select` says which of their properties.
pub(super) async fn list(call: Call) -> Answer {
    call.only(&GET)?;
    let context = call.context()?;
    let subscription = tracked::subscription_of(&call)?.as_uuid();
    let text = call.query.get("$filter").unwrap_or_default();
    let filter = filter(text).ok_or_else(|| ArmError::invalid_query("$filter", text))?;
    let control = &call.state.control;
    let (mut events, next) = control.activity_log(&context, subscription, &filter, call.continuation()).await?;
    if let Some(selected) = call.query.get("$select") {
        let names: Vec<&str> = selected.split(',').map(str::trim).collect();
        events.iter_mut().for_each(|event| keep(event, &names));
    }
    let next_link = next.map(|next| call.next_link(&next));
    Ok(response::part_of_list(events, next_link))
}

fn keep(event: &mut Value, names: &[&str]) {
    let Value::Object(members) = event else { return };
    let wanted = |name: &str| names.iter().any(|wanted| wanted.eq_ignore_ascii_case(name));
    *event = Value::Object(std::mem::take(members).into_iter().filter(|(name, _)| wanted(name)).collect::<Map<_, _>>());
}

/// Comparisons joined by `and`; `None` for anything that is not understood: a list that ignores its filter would mislead.
fn filter(text: &str) -> Option<ActivityFilter> {
    if text.len() > LONGEST_FILTER_BYTES {
        return None;
    }
    let mut filter = ActivityFilter { since_ms: i64::MIN, ..ActivityFilter::default() };
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (name, after) = rest.split_once(char::is_whitespace)?;
        let (operator, after) = after.trim_start().split_once(char::is_whitespace)?;
        let (value, after) = after.trim_start().strip_prefix('\'')?.split_once('\'')?;
        narrow(&mut filter, &name.to_ascii_lowercase(), &operator.to_ascii_lowercase(), value)?;
        rest = after.trim_start();
        if !rest.is_empty() {
            let (join, after) = rest.split_once(char::is_whitespace)?;
            rest = after.trim_start();
            if !join.eq_ignore_ascii_case("and") || rest.is_empty() {
                return None;
            }
        }
    }
    Some(filter)
}

fn narrow(filter: &mut ActivityFilter, name: &str, operator: &str, value: &str) -> Option<()> {
    match (name, operator) {
        ("eventtimestamp", "ge") => filter.since_ms = timestamp::parse_ms(value)?,
        ("eventtimestamp", "le") => filter.until_ms = Some(timestamp::parse_ms(value)?),
        ("resourcegroupname", "eq") => filter.resource_group = Some(value.to_owned()),
        ("resourceuri" | "resourceid", "eq") => filter.resource = Some(value.to_owned()),
        ("resourceprovider", "eq") => filter.provider = Some(value.to_owned()),
        ("correlationid", "eq") => filter.correlation_id = Some(value.to_owned()),
        ("caller", "eq") => filter.caller = Some(value.to_owned()),
        ("status", "eq") => filter.status = Some(value.to_owned()),
        // There are administrative events only, so these two say nothing.
        ("eventchannels" | "levels", "eq") => {}
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_clients_send_is_read() {
        let text = "eventTimestamp ge '1970-01-01T00:00:01Z' and eventTimestamp le '1970-01-01T00:00:02Z' and \
                    eventChannels eq 'Admin, Operation' and resourceGroupName eq 'rg' and status eq 'Failed'";
        let expected = ActivityFilter {
            since_ms: 1000,
            until_ms: Some(2000),
            resource_group: Some("rg".to_owned()),
            status: Some("Failed".to_owned()),
            ..ActivityFilter::default()
        };
        assert_eq!(filter(text), Some(expected));
        assert_eq!(filter("").map(|filter| filter.since_ms), Some(i64::MIN));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in [
            "eventTimestamp gt '1970-01-01T00:00:01Z'",
            "eventTimestamp ge 'soon'",
            "operationName eq 'x'",
            "caller eq 'x' or caller eq 'y'",
            "caller eq 'x' and",
            "caller eq x",
            "caller",
        ] {
            assert_eq!(filter(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "[ a-zA-Z'and]{0,60}|.{0,40}") {
            let _ = filter(&text);
        }
    }
}
