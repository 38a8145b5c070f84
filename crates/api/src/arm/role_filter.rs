//! `$filter` of role definitions and role assignments: `atScope()`, `assignedTo('x')`, `name eq 'x'`, joined by `and`.

use galerie_arm::ArmError;
use galerie_control::{AssignmentFilter, DefinitionFilter};
use uuid::Uuid;

use crate::odata::{self, Test};

/// Which assignments are asked for; no filter narrows nothing.
///
/// # Errors
/// `UnsupportedQuery` for anything else: a list that ignores its filter would mislead.
pub(super) fn of_assignments(text: Option<&str>) -> Result<AssignmentFilter, ArmError> {
    let mut filter = AssignmentFilter::default();
    let unsupported = || ArmError::unsupported_filter(text.unwrap_or_default());
    let id = |text: &str| Uuid::try_parse(text).map_err(|_| unsupported());
    for condition in odata::conditions(text).ok_or_else(unsupported)? {
        match (condition.name.as_str(), &condition.test) {
            ("atscope", Test::Call(value)) if value.is_empty() => filter.at_scope = true,
            ("assignedto", Test::Call(value)) => filter.assigned_to = Some(id(value)?),
            // Some clients send an id without quotes.
            ("principalid", Test::Compare { operator, value, .. }) if operator == "eq" => {
                filter.principal = Some(id(value)?);
            }
            _ => return Err(unsupported()),
        }
    }
    Ok(filter)
}

/// Which role definitions are asked for.
///
/// # Errors
/// As [`of_assignments`].
pub(super) fn of_definitions(text: Option<&str>) -> Result<DefinitionFilter, ArmError> {
    let mut filter = DefinitionFilter::default();
    let unsupported = || ArmError::unsupported_filter(text.unwrap_or_default());
    for condition in odata::conditions(text).ok_or_else(unsupported)? {
        match (condition.name.as_str(), condition.equal_text(), &condition.test) {
            ("rolename", Some(value), _) => filter.role_name = Some(value.to_owned()),
            ("type", Some(value), _) => filter.role_type = Some(value.to_owned()),
            ("atscopeandbelow", _, Test::Call(value)) if value.is_empty() => filter.and_below = true,
            _ => return Err(unsupported()),
        }
    }
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "ce2ce14e-85d7-4629-bdbc-454d0519d987";

    #[test]
    fn what_clients_send() {
        let id = Uuid::try_parse(ID).unwrap();
        let (at_scope, of) = (true, Some(id));
        for (text, expected) in [
            (String::new(), Some(AssignmentFilter::default())),
            ("atScope()".to_owned(), Some(AssignmentFilter { at_scope, ..Default::default() })),
            (format!("principalId eq '{ID}'"), Some(AssignmentFilter { principal: of, ..Default::default() })),
            (format!("principalId eq {ID}"), Some(AssignmentFilter { principal: of, ..Default::default() })),
            (
                format!("atScope() and assignedTo('{ID}')"),
                Some(AssignmentFilter { at_scope, assigned_to: of, ..Default::default() }),
            ),
            (format!("assignedTo('{ID}"), None),
            (format!("principalId ne '{ID}'"), None),
            ("principalId eq 'me'".to_owned(), None),
            ("atScope() or atScope()".to_owned(), None),
            ("atScope() and".to_owned(), None),
            ("tagName eq 'x'".to_owned(), None),
        ] {
            assert_eq!(of_assignments(Some(&text)).ok(), expected, "{text}");
        }
        let named = |name: &str| Some(DefinitionFilter { role_name: Some(name.to_owned()), ..Default::default() });
        assert_eq!(of_definitions(Some("roleName eq 'It''s a role'")).ok(), named("It's a role"));
        let both = of_definitions(Some("atScopeAndBelow() and type eq 'CustomRole'")).unwrap();
        assert_eq!((both.and_below, both.role_type.as_deref()), (true, Some("CustomRole")));
    }
}
