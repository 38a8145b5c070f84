//! What a GET asks for beside the document: `$expand` and `$select`.

use galerie_arm::ArmError;

/// What to show beside the document.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expand {
    /// `$expand=ReplicationStatus`, of an image version.
    pub replication_status: bool,
    /// `$expand=UefiSettings`, of an image version.
    pub uefi_settings: bool,
    /// `$expand=SharingProfile/Groups`, of a gallery.
    pub sharing_profile_groups: bool,
    /// `$select=Permissions`, of a gallery.
    pub permissions: bool,
}

impl Expand {
    /// Reads the query parameters `$expand` and `$select`; several values are separated by commas.
    ///
    /// # Errors
    /// `InvalidParameter` for a value that no resource has.
    pub fn parse(expand: Option<&str>, select: Option<&str>) -> Result<Self, ArmError> {
        let mut asked = Self::default();
        let values = |text: Option<&str>| -> Vec<String> {
            let text = text.unwrap_or_default();
            text.split(',').map(|value| value.trim().to_lowercase()).filter(|value| !value.is_empty()).collect()
        };
        for value in values(expand) {
            match value.as_str() {
                "replicationstatus" => asked.replication_status = true,
                "uefisettings" => asked.uefi_settings = true,
                "sharingprofile/groups" => asked.sharing_profile_groups = true,
                // Machines have the former; nothing validates images here, so there is no profile to show.
                "instanceview" | "validationprofile" => {}
                _ => return Err(ArmError::invalid_query("$expand", expand.unwrap_or_default())),
            }
        }
        for value in values(select) {
            match value.as_str() {
                "permissions" => asked.permissions = true,
                _ => return Err(ArmError::invalid_query("$select", select.unwrap_or_default())),
            }
        }
        Ok(asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_case_and_nothing_else() {
        let status = Expand { replication_status: true, ..Expand::default() };
        for (expand, select, expected) in [
            (None, None, Some(Expand::default())),
            (Some(""), None, Some(Expand::default())),
            (Some("replicationstatus"), None, Some(status)),
            (Some("ReplicationStatus, UefiSettings"), None, Some(Expand { uefi_settings: true, ..status })),
            (Some("ValidationProfile,ReplicationStatus"), None, Some(status)),
            (None, Some("Permissions"), Some(Expand { permissions: true, ..Expand::default() })),
            (Some("everything"), None, None),
        ] {
            assert_eq!(Expand::parse(expand, select).ok(), expected, "{expand:?} {select:?}");
        }
    }
}
