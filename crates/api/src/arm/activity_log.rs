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
use crate::odata::{self, Test};

/// A page of events; `$filter` narrows them, `$select` says which of their properties.
pub(super) async fn list(call: Call) -> Answer {
    call.only(&GET)?;
    let context = call.context()?;
    let subscription = tracked::subscription_of(&call)?.as_uuid();
    let text = call.query.get("$filter");
    let filter = filter(text).ok_or_else(|| ArmError::invalid_query("$filter", text.unwrap_or_default()))?;
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

/// What the filter narrows the list to; `None` for anything that is not understood.
fn filter(text: Option<&str>) -> Option<ActivityFilter> {
    let mut filter = ActivityFilter { since_ms: i64::MIN, ..ActivityFilter::default() };
    for condition in odata::conditions(text)? {
        // az sends times without quotes, the SDKs with them.
        let Test::Compare { operator, value, .. } = &condition.test else { return None };
        narrow(&mut filter, &condition.name, operator, value)?;
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
        assert_eq!(filter(Some(text)), Some(expected));
        assert_eq!(filter(None).map(|filter| filter.since_ms), Some(i64::MIN));
        // As az has it.
        let bare =
            "eventTimestamp ge 1970-01-01T00:00:01 and eventTimestamp le 1970-01-01T00:00:02.000001 and caller eq 'me'";
        let read = filter(Some(bare)).map(|filter| (filter.since_ms, filter.until_ms, filter.caller));
        assert_eq!(read, Some((1000, Some(2000), Some("me".to_owned()))));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in [
            "eventTimestamp gt '1970-01-01T00:00:01Z'",
            "eventTimestamp ge 'soon'",
            "operationName eq 'x'",
            "caller eq 'x' or caller eq 'y'",
            "caller eq 'x' and",
            "caller",
        ] {
            assert_eq!(filter(Some(text)), None, "{text}");
        }
    }
}
