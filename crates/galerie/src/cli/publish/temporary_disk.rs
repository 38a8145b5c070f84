//! The upload disk that a version is made from. It exists for the upload alone.

use galerie_arm::Location;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    cli::failure::Result,
    client::{Client, Error},
};

/// Azure's bounds for an upload disk; the disk takes the image's true size from its manifest.
const SMALLEST_UPLOAD_BYTES: u64 = (20 << 20) + 512;
const LARGEST_UPLOAD_BYTES: u64 = (32 << 40) + 512;
const VHD_ALIGNMENT_BYTES: u64 = 1 << 20;
const VHD_FOOTER_BYTES: u64 = 512;
/// How long an upload may take.
const ACCESS_S: u64 = 24 * 60 * 60;

/// A disk with write access.
pub(in crate::cli) struct TemporaryDisk {
    path: String,
    sas_url: String,
}

/// A name that no other upload has.
pub(in crate::cli) fn name() -> String {
    format!("galerie-publish-{}", Uuid::new_v4().simple())
}

fn path_of(group: &str, name: &str) -> String {
    format!("{group}/providers/Microsoft.Compute/disks/{name}")
}

/// Deletes the disk, if it is there.
///
/// # Errors
/// What the server says.
pub(in crate::cli) async fn delete(client: &Client, group: &str, name: &str) -> Result<()> {
    let accepted = client.delete(&path_of(group, name)).await?;
    client.wait("delete the temporary disk", accepted).await?;
    Ok(())
}

impl TemporaryDisk {
    /// Makes the disk in a group, given by its path, and a region, and takes write access.
    ///
    /// # Errors
    /// What the server says.
    pub(in crate::cli) async fn create(
        client: &Client,
        group: &str,
        home: &Location,
        name: &str,
        virtual_size_bytes: u64,
    ) -> Result<Self> {
        let path = path_of(group, name);
        let vhd_bytes = virtual_size_bytes.next_multiple_of(VHD_ALIGNMENT_BYTES) + VHD_FOOTER_BYTES;
        let document = json!({
            "location": home.as_str(),
            "sku": { "name": "Standard_LRS" },
            "tags": { "galerie": "publish" },
            "properties": {
                "creationData": {
                    "createOption": "Upload",
                    "uploadSizeBytes": vhd_bytes.clamp(SMALLEST_UPLOAD_BYTES, LARGEST_UPLOAD_BYTES),
                },
            },
        });
        let accepted = client.put(&path, &document).await?;
        client.wait("make a temporary disk", accepted).await?;
        let access = json!({ "access": "Write", "durationInSeconds": ACCESS_S });
        let accepted = client.post(&format!("{path}/beginGetAccess"), &access).await?;
        let granted = client.wait("take write access", accepted).await?;
        // The service and its older clients do not agree on the letters' case.
        let sas_url = ["accessSAS", "accessSas"].into_iter().find_map(|name| granted.get(name).and_then(Value::as_str));
        let sas_url = sas_url.ok_or_else(|| Error::nonsense("take write access", "there is no accessSAS"))?;
        Ok(Self { path, sas_url: sas_url.to_owned() })
    }

    pub(in crate::cli) fn path(&self) -> &str {
        &self.path
    }

    pub(in crate::cli) fn sas_url(&self) -> &str {
        &self.sas_url
    }

    /// Ends the access: what was sent becomes the disk's content.
    ///
    /// # Errors
    /// What the server says.
    pub(in crate::cli) async fn end_access(&self, client: &Client) -> Result<()> {
        let accepted = client.post(&format!("{}/endGetAccess", self.path), &json!({})).await?;
        client.wait("end the write access", accepted).await?;
        Ok(())
    }
}
