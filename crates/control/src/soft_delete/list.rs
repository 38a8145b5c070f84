//! The list of a definition's soft-deleted versions.

use galerie_arm::{ApiVersion, ArmError, ResourceId, paging::SkipToken, timestamp};
use serde_json::{Value, json};

use crate::{
    Control, authz,
    db::soft_deletion::{self, SoftDeletedRow},
    request::{DocumentText, Page, RequestContext},
    resource::page::{self, PAGE_ITEMS},
};

const READ: &str = "Microsoft.Compute/galleries/softDeletedArtifactTypes/artifacts/versions/read";
const TYPE: &str = "Microsoft.Compute/galleries/softDeletedArtifactTypes/artifacts/versions";
/// The first api-version whose answers say until when a version can be used and restored.
const WITH_TIMES: ApiVersion = ApiVersion::stable(2026, 3, 3);

impl Control {
    /// A page of a definition's soft-deleted versions, in key order; `continuation` is the last page's.
    ///
    /// # Errors
    /// `AuthorizationFailed`, a gallery or definition that is not there, a continuation that we did not make.
    pub async fn soft_deleted_versions(
        &self,
        context: &RequestContext,
        definition: &ResourceId,
        continuation: Option<&str>,
    ) -> Result<Page, ArmError> {
        let after = continuation.map(SkipToken::decode).transpose()?.map_or_else(String::new, |token| token.last_key);
        let mut tx = self.db().read().await?;
        authz::authorize(&mut tx, &context.caller, READ, definition).await?;
        crate::resource::read::require_parent(&mut tx, definition).await?;
        let mut rows = soft_deletion::list(&mut tx, definition.key(), &after, PAGE_ITEMS + 1).await?;
        let last_key = page::cut(&mut rows, |row| &row.version.key, None);
        let now_ms = tx.now_ms().await?;
        // What the reconciler has not come to yet is gone all the same.
        rows.retain(|row| row.deletion.purge_ms > now_ms);
        let items = rows.iter().map(|row| DocumentText::from(&document(row, definition, context.api_version)));
        let continuation = last_key.map(|last_key| SkipToken { last_key }.encode());
        Ok(Page { items: items.collect(), continuation })
    }
}

/// As `GallerySoftDeletedResource` has it. A list by definition knows no other type of artifact than images.
fn document(row: &SoftDeletedRow, definition: &ResourceId, api_version: ApiVersion) -> Value {
    let SoftDeletedRow { version, deletion } = row;
    let gallery = definition.parent().map(|gallery| gallery.as_str().to_owned()).unwrap_or_default();
    let id =
        format!("{gallery}/softDeletedArtifactTypes/Images/artifacts/{}/versions/{}", definition.name(), version.name);
    let mut document = json!({
        "name": version.name, "id": id, "type": TYPE, "location": version.location,
        "properties": {
            "resourceArmId": version.id,
            "softDeletedArtifactType": "Images",
            "softDeletedTime": timestamp::format_ms(deletion.deleted_ms),
        }
    });
    if let Some(tags) = version.document.get("tags") {
        document["tags"] = tags.clone();
    }
    if api_version >= WITH_TIMES {
        let properties = &mut document["properties"];
        properties["consumptionEndTime"] = timestamp::format_ms(deletion.usable_until_ms).into();
        properties["hardDeletionTargetTime"] = timestamp::format_ms(deletion.purge_ms).into();
    }
    document
}
