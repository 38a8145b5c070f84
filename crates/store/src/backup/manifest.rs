//! What a backup says of itself: the object that is put last.

use std::{fmt, str::FromStr};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{
    repository::{REPOSITORY_FORMAT_VERSION, REPOSITORY_FORMAT_VERSION_1},
    text,
};
use crate::{
    BlobId, Error, ManifestId, PackId, Result, TenantId,
    backend::Key,
    pack::{PACK_MAX_BYTES, PackTable},
};

/// The longest id.
const ID_MAX_BYTES: usize = 64;

/// Names a backup: the time it was begun, so that ids sort by time, and something random.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackupId(String);

impl BackupId {
    pub(super) fn manifest_key(&self) -> Key {
        self.key("manifest.json")
    }

    pub(super) fn catalogue_key(&self) -> Key {
        self.key("catalogue.zst")
    }

    fn key(&self, name: &str) -> Key {
        format!("backups/{self}/{name}").parse().expect("an id is a name of a key")
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for BackupId {
    type Err = Error;

    fn from_str(id: &str) -> Result<Self> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=ID_MAX_BYTES).contains(&id.len()) && id.bytes().all(allowed) {
            Ok(Self(id.to_owned()))
        } else {
            Err(Error::Invalid(format!("'{}' is not a backup's id", id.chars().take(80).collect::<String>())))
        }
    }
}

/// A backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackupManifest {
    /// Its id.
    #[serde(with = "text")]
    pub id: BackupId,
    /// When its snapshot was taken, in ms since 1970.
    pub created_ms: i64,
    /// Which program made it.
    pub program_version: String,
    /// The catalogue in it.
    pub catalogue: CatalogueCopy,
    /// The master key, encrypted with a passphrase; by default there is none.
    pub sealed_master_key: Option<String>,
    /// What each region's store contributes.
    pub regions: Vec<RegionBackup>,
    /// Packs that were copied for this backup; the others were there.
    pub copied_packs: u64,
    /// Their size.
    pub copied_bytes: u64,
}

/// A catalogue's copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CatalogueCopy {
    /// Whose it is.
    pub catalogue_id: Uuid,
    /// Its schema.
    pub schema_version: i64,
    /// Rows in it.
    pub rows: u64,
    /// Its size as it lies in the repository.
    pub size_bytes: u64,
    /// BLAKE3 of it as it lies in the repository.
    #[serde(with = "text")]
    pub checksum: blake3::Hash,
}

/// A region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegionBackup {
    /// Its normalised name.
    pub name: String,
    /// The store that was backed up.
    pub store_id: Uuid,
    /// Its epoch.
    pub epoch: u64,
    /// The tenants that have something in it.
    pub tenants: Vec<TenantBackup>,
}

/// A tenant's part of a region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TenantBackup {
    /// Whose it is.
    #[serde(with = "text")]
    pub tenant: TenantId,
    /// The packs that its images need.
    pub packs: Vec<BackedUpPack>,
    /// Blobs in them that are damaged and must not be used.
    pub quarantined: Vec<QuarantinedBlob>,
    /// What images need and the region did not have.
    pub missing: Vec<MissingBlob>,
}

/// A pack in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackedUpPack {
    /// Its name.
    #[serde(with = "text")]
    pub pack: PackId,
    /// Its size.
    pub size_bytes: u64,
    /// The checksum of its table, which names each blob by its hash.
    #[serde(with = "text")]
    pub table: blake3::Hash,
}

impl BackedUpPack {
    /// What a manifest says of a pack with this table.
    pub(super) fn of(table: &PackTable, size_bytes: u64) -> Self {
        Self { pack: table.pack, size_bytes, table: table.checksum() }
    }

    pub(super) fn key(&self, region: &str, tenant: &TenantId) -> Result<Key> {
        format!("packs/{region}/{tenant}/{}", self.pack).parse()
    }

    pub(super) fn damaged_key(&self, region: &str, tenant: &TenantId) -> Result<Key> {
        format!("damaged/{region}/{tenant}/{}", self.pack).parse()
    }
}

/// A damaged blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QuarantinedBlob {
    /// The pack whose copy of it is damaged.
    #[serde(with = "text")]
    pub pack: PackId,
    /// The blob.
    #[serde(with = "text")]
    pub blob: BlobId,
}

/// Something that an image needs and that is nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MissingBlob {
    /// The image.
    #[serde(with = "text")]
    pub manifest: ManifestId,
    /// What it needs.
    #[serde(with = "text")]
    pub blob: BlobId,
}

/// The object around it. The version is read first: a newer one may have fields this program does not know.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Envelope {
    format_version: u32,
    checksum: String,
    backup: Box<RawValue>,
}

impl BackupManifest {
    /// Blobs that images need and the gallery did not have, when it was backed up.
    pub fn missing_blobs(&self) -> impl Iterator<Item = (&RegionBackup, &MissingBlob)> {
        self.regions.iter().flat_map(|region| {
            region.tenants.iter().flat_map(move |tenant| tenant.missing.iter().map(move |missing| (region, missing)))
        })
    }

    /// Its packs with their regions and tenants.
    pub fn packs(&self) -> impl Iterator<Item = (&str, &TenantId, &BackedUpPack)> {
        self.regions.iter().flat_map(|region| {
            region.tenants.iter().flat_map(move |tenant| {
                tenant.packs.iter().map(move |pack| (region.name.as_str(), &tenant.tenant, pack))
            })
        })
    }

    pub(super) fn encode(&self) -> Bytes {
        let backup = serde_json::value::to_raw_value(self).expect("ids, numbers and texts can be written as JSON");
        let checksum = blake3::hash(backup.get().as_bytes()).to_string();
        let envelope = Envelope { format_version: REPOSITORY_FORMAT_VERSION, checksum, backup };
        serde_json::to_vec(&envelope).expect("JSON can be written as JSON").into()
    }

    pub(super) fn decode(id: &BackupId, bytes: &[u8]) -> Result<Self> {
        let corrupt = |why: String| Error::Corrupt(format!("the manifest of backup {id} {why}"));
        check_version(bytes, &format!("backup {id}"))?;
        let envelope: Envelope = serde_json::from_slice(bytes).map_err(|error| corrupt(error.to_string()))?;
        if blake3::hash(envelope.backup.get().as_bytes()).to_string() != envelope.checksum {
            return Err(corrupt("does not match its checksum".to_owned()));
        }
        let manifest: Self = serde_json::from_str(envelope.backup.get()).map_err(|error| corrupt(error.to_string()))?;
        if manifest.id != *id {
            return Err(corrupt(format!("is that of backup {}", manifest.id)));
        }
        for (region, tenant, pack) in manifest.packs() {
            if pack.size_bytes > PACK_MAX_BYTES as u64 {
                return Err(corrupt(format!("has a pack of {} bytes", pack.size_bytes)));
            }
            pack.key(region, tenant).map_err(|_| corrupt(format!("has a region '{region}'")))?;
        }
        Ok(manifest)
    }
}

/// Refuses what a later program wrote, and what has no version.
pub(super) fn check_version(bytes: &[u8], what: &str) -> Result<()> {
    let version =
        serde_json::from_slice::<serde_json::Value>(bytes).ok().and_then(|json| json["formatVersion"].as_u64());
    let known = u64::from(REPOSITORY_FORMAT_VERSION_1)..=u64::from(REPOSITORY_FORMAT_VERSION);
    match version {
        Some(version) if known.contains(&version) => Ok(()),
        Some(version) => Err(Error::Foreign(format!(
            "{what} has backup format version {version}, this program knows {} to {}; use the program that made it, or a newer one",
            known.start(),
            known.end()
        ))),
        None => Err(Error::Corrupt(format!("{what} does not say its format version"))),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::backup) fn manifest(id: &str) -> BackupManifest {
        let pack = BackedUpPack { pack: PackId([7; 16]), size_bytes: 100, table: blake3::hash(b"table") };
        let (blob, manifest) = (BlobId::of(b"blob"), ManifestId(BlobId::of(b"manifest")));
        let tenant = TenantBackup {
            tenant: "t-1".parse().unwrap(),
            packs: vec![pack],
            quarantined: vec![QuarantinedBlob { pack: pack.pack, blob }],
            missing: vec![MissingBlob { manifest, blob }],
        };
        BackupManifest {
            id: id.parse().unwrap(),
            created_ms: 1,
            program_version: "0".to_owned(),
            catalogue: CatalogueCopy {
                catalogue_id: Uuid::nil(),
                schema_version: 1,
                rows: 0,
                size_bytes: 3,
                checksum: blake3::hash(b"abc"),
            },
            sealed_master_key: None,
            regions: vec![RegionBackup {
                name: "eastus".to_owned(),
                store_id: Uuid::nil(),
                epoch: 1,
                tenants: vec![tenant],
            }],
            copied_packs: 1,
            copied_bytes: 100,
        }
    }

    #[test]
    fn a_manifest_comes_back_and_any_changed_byte_is_seen() {
        let manifest = manifest("a-1");
        let bytes = manifest.encode();
        assert_eq!(BackupManifest::decode(&manifest.id, &bytes).unwrap(), manifest);
        for at in 0..bytes.len() {
            let mut changed = bytes.to_vec();
            changed[at] ^= 1;
            let refused = BackupManifest::decode(&manifest.id, &changed);
            assert!(refused.is_err(), "byte {at} was changed");
            assert!(BackupManifest::decode(&manifest.id, &bytes[..at]).is_err(), "cut to {at} bytes");
        }
        assert!(BackupManifest::decode(&"a-2".parse().unwrap(), &bytes).is_err());
    }

    #[test]
    fn a_later_format_is_refused_with_both_versions() {
        let manifest = manifest("a-1");
        let text = String::from_utf8(manifest.encode().to_vec()).unwrap();
        let later = text.replacen("\"formatVersion\":2", "\"formatVersion\":3", 1).replacen(
            "\"checksum\"",
            "\"new\":1,\"checksum\"",
            1,
        );
        let error = BackupManifest::decode(&manifest.id, later.as_bytes()).unwrap_err();
        assert!(matches!(error, Error::Foreign(_)), "{error}");
        assert!(error.to_string().contains("version 3, this program knows 1 to 2"), "{error}");
    }
}
