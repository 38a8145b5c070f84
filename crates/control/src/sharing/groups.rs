//! What a request shares a gallery with: lists of ids, checked one by one.

use std::collections::HashSet;

use galerie_arm::{
    ArmError,
    sharing::{SharingGroup, SharingGroupKind, SharingOperation, SharingUpdate},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::db::sharing::SharingGroupRow;

/// Subscriptions that a gallery can be shared with. Azure's limit.
const MOST_SUBSCRIPTIONS: usize = 30;
/// Tenants that a gallery can be shared with. Azure's limit.
const MOST_TENANTS: usize = 5;
/// Ids that one request is looked at with: all that can be shared with, and then removed, at once.
const MOST_IDS: usize = MOST_SUBSCRIPTIONS + MOST_TENANTS;

/// The groups that a request names, in its order. `owner` is the gallery's own subscription.
///
/// # Errors
/// `InvalidParameter` naming the place: groups missing or out of place, an unknown type, an id that is no GUID, twice the same, or
/// the owner's.
pub(crate) fn wanted(update: &SharingUpdate, owner: Uuid) -> Result<Vec<SharingGroupRow>, ArmError> {
    let takes_groups = matches!(update.operation_type, SharingOperation::Add | SharingOperation::Remove);
    if takes_groups && update.groups.is_empty() {
        return Err(ArmError::required_parameter_missing("sharingUpdate.groups"));
    }
    if !takes_groups && !update.groups.is_empty() {
        let message = format!("The sharing operation '{}' takes no groups.", update.operation_type);
        return Err(ArmError::invalid_parameter("sharingUpdate.groups", message));
    }
    let count: usize = update.groups.iter().map(|group| group.ids.len()).sum();
    if count > MOST_IDS {
        let most = i64::try_from(MOST_IDS).unwrap_or(i64::MAX);
        return Err(ArmError::out_of_range("sharingUpdate.groups", i64::try_from(count).unwrap_or(i64::MAX), 0, most));
    }
    let (mut wanted, mut seen) = (Vec::with_capacity(count), HashSet::new());
    for (index, group) in update.groups.iter().enumerate() {
        let target = format!("sharingUpdate.groups[{index}]");
        let kind = kind(group, &target)?;
        if group.ids.is_empty() {
            return Err(ArmError::required_parameter_missing(&format!("{target}.ids")));
        }
        for (position, text) in group.ids.iter().enumerate() {
            let target = format!("{target}.ids[{position}]");
            let row = SharingGroupRow { kind, id: id(text, &target)? };
            check_other(row, owner, &target)?;
            if !seen.insert(row) {
                let message = format!("The id '{}' is there more than once. Name each once.", row.id);
                return Err(ArmError::invalid_parameter(&target, message));
            }
            wanted.push(row);
        }
    }
    Ok(wanted)
}

fn kind(group: &SharingGroup, target: &str) -> Result<SharingGroupKind, ArmError> {
    let target = format!("{target}.type");
    let text = group.kind.as_deref().ok_or_else(|| ArmError::required_parameter_missing(&target))?;
    SharingGroupKind::parse(text).ok_or_else(|| {
        let message =
            format!("A gallery cannot be shared with groups of the type '{text}': use Subscriptions or AADTenants.");
        ArmError::invalid_parameter(&target, message)
    })
}

/// Only the hyphenated form, as everywhere in ARM.
fn id(text: &str, target: &str) -> Result<Uuid, ArmError> {
    let hyphenated = if text.len() == 36 { Uuid::try_parse(text).ok() } else { None };
    hyphenated.filter(|id| !id.is_nil()).ok_or_else(|| {
        let shown: String = text.chars().filter(|c| !c.is_control()).take(100).collect();
        let message =
            format!("The id '{shown}' is not the GUID of a subscription or tenant, with dashes and without braces.");
        ArmError::invalid_parameter(target, message)
    })
}

fn check_other(group: SharingGroupRow, owner: Uuid, target: &str) -> Result<(), ArmError> {
    if group.kind != SharingGroupKind::Subscriptions || group.id != owner {
        return Ok(());
    }
    let message = format!("The subscription '{owner}' owns the gallery, which therefore cannot be shared with it.");
    Err(ArmError::invalid_parameter(target, message))
}

/// Checks that what a gallery would be shared with stays within Azure's limits.
///
/// # Errors
/// 409 with the numbers.
pub(crate) fn check_limits(groups: &[SharingGroupRow]) -> Result<(), ArmError> {
    for (kind, most) in
        [(SharingGroupKind::Subscriptions, MOST_SUBSCRIPTIONS), (SharingGroupKind::AadTenants, MOST_TENANTS)]
    {
        let count = groups.iter().filter(|group| group.kind == kind).count();
        if count > most {
            return Err(ArmError::too_many_sharing_groups(kind.as_str(), most, count));
        }
    }
    Ok(())
}

/// Checks that everything to be removed is there: who mistypes an id must not believe that access is gone.
///
/// # Errors
/// `InvalidParameter` naming the first that is not.
pub(crate) fn check_present(removed: &[SharingGroupRow], present: &[SharingGroupRow]) -> Result<(), ArmError> {
    match removed.iter().find(|group| !present.contains(group)) {
        None => Ok(()),
        Some(absent) => {
            let message =
                format!("The gallery is not shared with '{}' of {}. Nothing was removed.", absent.id, absent.kind);
            Err(ArmError::invalid_parameter("sharingUpdate.groups", message))
        }
    }
}

/// The groups as a gallery's document shows them.
pub(crate) fn shown(groups: &[SharingGroupRow]) -> Value {
    let of = |kind: SharingGroupKind| -> Vec<String> {
        groups.iter().filter(|group| group.kind == kind).map(|group| group.id.to_string()).collect()
    };
    let lists = SharingGroupKind::ALL.iter().map(|kind| (kind.as_str(), of(*kind)));
    lists.filter(|(_, ids)| !ids.is_empty()).map(|(kind, ids)| json!({ "type": kind, "ids": ids })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Uuid = Uuid::from_u128(1);
    const A: &str = "00000000-0000-0000-0000-00000000000a";
    const B: &str = "00000000-0000-0000-0000-00000000000b";

    fn read(operation: &str, groups: Value) -> Result<Vec<SharingGroupRow>, String> {
        let update = json!({ "operationType": operation, "groups": groups });
        let update = serde_json::from_value(update).expect("a body");
        wanted(&update, OWNER).map_err(|error| {
            assert_eq!((error.status, error.code.as_ref()), (400, "InvalidParameter"), "{error}");
            error.target.expect("a place")
        })
    }

    fn row(kind: SharingGroupKind, id: u128) -> SharingGroupRow {
        SharingGroupRow { kind, id: Uuid::from_u128(id) }
    }

    #[test]
    fn lists_become_groups() {
        let groups = json!([{ "type": "Subscriptions", "ids": [A, B] }, { "type": "aadtenants", "ids": [A] }]);
        let expected = [
            row(SharingGroupKind::Subscriptions, 10),
            row(SharingGroupKind::Subscriptions, 11),
            row(SharingGroupKind::AadTenants, 10),
        ];
        assert_eq!(read("Add", groups.clone()).unwrap(), expected);
        assert_eq!(read("Remove", groups).unwrap(), expected);
        assert_eq!(read("Reset", json!([])), Ok(Vec::new()));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let one = |ids: Value| json!([{ "type": "Subscriptions", "ids": ids }]);
        let many: Vec<String> = (0..36).map(|number| Uuid::from_u128(100 + number).to_string()).collect();
        for (operation, groups, target) in [
            ("Add", json!([]), "sharingUpdate.groups"),
            ("Reset", one(json!([A])), "sharingUpdate.groups"),
            ("EnableCommunity", one(json!([A])), "sharingUpdate.groups"),
            ("Add", one(json!([])), "sharingUpdate.groups[0].ids"),
            ("Add", json!([{ "ids": [A] }]), "sharingUpdate.groups[0].type"),
            ("Add", json!([{ "type": "Community", "ids": [A] }]), "sharingUpdate.groups[0].type"),
            ("Add", one(json!([A, "x"])), "sharingUpdate.groups[0].ids[1]"),
            ("Add", one(json!([format!("{{{A}}}")])), "sharingUpdate.groups[0].ids[0]"),
            ("Add", one(json!([Uuid::nil().to_string()])), "sharingUpdate.groups[0].ids[0]"),
            ("Add", one(json!([A, A.to_uppercase()])), "sharingUpdate.groups[0].ids[1]"),
            ("Add", one(json!([OWNER.to_string()])), "sharingUpdate.groups[0].ids[0]"),
            ("Remove", one(json!(many)), "sharingUpdate.groups"),
        ] {
            let found = read(operation, groups.clone()).expect_err("refused");
            assert_eq!(found, target, "{operation} {groups}");
        }
    }

    #[test]
    fn limits_are_azures() {
        let subscriptions: Vec<_> = (0..30).map(|id| row(SharingGroupKind::Subscriptions, id)).collect();
        let tenants: Vec<_> = (0..5).map(|id| row(SharingGroupKind::AadTenants, id)).collect();
        let all = [subscriptions.clone(), tenants].concat();
        check_limits(&all).unwrap();
        for one_more in [row(SharingGroupKind::Subscriptions, 99), row(SharingGroupKind::AadTenants, 99)] {
            let error = check_limits(&[all.clone(), vec![one_more]].concat()).unwrap_err();
            assert_eq!((error.status, error.code.as_ref()), (409, "OperationNotAllowed"));
        }
        check_present(&subscriptions[..2], &subscriptions).unwrap();
        assert_eq!(check_present(&[row(SharingGroupKind::AadTenants, 3)], &subscriptions).unwrap_err().status, 400);
    }
}
