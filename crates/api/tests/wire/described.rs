//! Bodies that are made from Azure's description: every member that a version declares, with a value that it may have.

use galerie_testkit::{
    Gallery,
    openapi::{
        GALLERY_VERSIONS,
        properties::{self, Kind},
    },
};
use serde_json::{Value, json};

pub(crate) const GROUP: &str = "{s}/resourceGroups/rg/providers/Microsoft.Compute";

/// A resource type, and what a good body of it says where the description does not tell.
pub(crate) struct Described {
    /// The path of one; `{n}` is a number.
    pub(crate) path: &'static str,
    pub(crate) versions: &'static [&'static str],
    /// Values by JSON pointer; with a reason in place of a value the member is left out.
    values: &'static [(&'static str, Given)],
}

enum Given {
    /// JSON; `{n}`, `{disk}`, `{data}` and `{image}` stand for what there is.
    Is(&'static str),
    /// Why a good body does not have it.
    Out(&'static str),
}

use Given::{Is, Out};

const EXCLUSIVE: Given = Out("another source is given");
/// Not every description says that it is a date.
const END_OF_LIFE: (&str, Given) = ("/properties/endOfLifeDate", Is("\"2099-01-31T00:00:00Z\""));
const COMMUNITY: &str = r#"{"permissions":"Community","communityGalleryInfo":{"publisherUri":"https://example.com","publisherContact":"a@example.com","eula":"e","publicNamePrefix":"prefix"}}"#;

/// The gallery versions that have applications, and those that have scripts.
const APPLICATION_VERSIONS: &[&str] = GALLERY_VERSIONS.split_at(1).1;
const SCRIPT_VERSIONS: &[&str] = &["2025-03-03", "2025-12-03", "2026-03-03"];
const NO_EDGE_ZONES: (&str, Given) =
    ("/properties/publishingProfile/targetExtendedLocations", Out("there are no edge zones here"));
const NO_STRATEGY: (&str, Given) =
    ("/properties/publishingProfile/storageAccountStrategy", Out("excludes storageAccountType"));
const VERSION_END_OF_LIFE: (&str, Given) =
    ("/properties/publishingProfile/endOfLifeDate", Is("\"2099-01-31T00:00:00Z\""));
const TARGET_REGION: (&str, Given) = ("/properties/publishingProfile/targetRegions/0/name", Is("\"eastus\""));
const SCRIPT_LINK: (&str, Given) = ("/properties/publishingProfile/source/scriptLink", Is("\"{disk}\""));

/// Every resource type with bodies. One whose members exclude each other is there twice.
pub(crate) const TYPES: &[Described] = &[
    Described {
        path: "{s}/resourceGroups/made{n}",
        versions: &["2025-03-01"],
        values: &[("/managedBy", Out("a group is nobody's here"))],
    },
    Described {
        path: "{g}/galleries/g{n}",
        versions: GALLERY_VERSIONS,
        values: &[
            ("/properties/sharingProfile", Is(COMMUNITY)),
            ("/identity/userAssignedIdentities", Out("there are none: only a system-assigned identity is given")),
            ("/properties/identifier", Is("{}")),
        ],
    },
    Described {
        path: "{g}/galleries/parent/images/i{n}",
        versions: GALLERY_VERSIONS,
        values: &[
            ("/properties/osType", Is("\"Linux\"")),
            ("/properties/hyperVGeneration", Is("\"V2\"")),
            ("/properties/identifier/offer", Is("\"{n}\"")),
            ("/properties/features", Is(r#"[{"name":"SecurityType","value":"Standard"}]"#)),
            END_OF_LIFE,
        ],
    },
    Described {
        path: "{g}/galleries/parent/images/i/versions/{n}.0.0",
        versions: GALLERY_VERSIONS,
        values: &[
            ("/properties/publishingProfile/source", Is(r#"{"managedImage":{"id":"{image}"}}"#)),
            TARGET_REGION,
            VERSION_END_OF_LIFE,
            NO_EDGE_ZONES,
            NO_STRATEGY,
            ("/properties/storageProfile/source", Is(r#"{"id":"{image}"}"#)),
            ("/properties/storageProfile/osDiskImage", EXCLUSIVE),
            ("/properties/storageProfile/dataDiskImages", EXCLUSIVE),
            ("/properties/restore", Out("is a request, and no property")),
        ],
    },
    Described {
        path: "{g}/galleries/parent/applications/a{n}",
        versions: APPLICATION_VERSIONS,
        values: &[END_OF_LIFE],
    },
    Described {
        path: "{g}/galleries/parent/applications/a/versions/{n}.0.0",
        versions: APPLICATION_VERSIONS,
        values: &[
            ("/properties/publishingProfile/source/mediaLink", Is("\"{disk}\"")),
            ("/properties/publishingProfile/source/defaultConfigurationLink", Is("\"{data}\"")),
            TARGET_REGION,
            VERSION_END_OF_LIFE,
            NO_EDGE_ZONES,
            NO_STRATEGY,
        ],
    },
    Described { path: "{g}/galleries/parent/scripts/s{n}", versions: SCRIPT_VERSIONS, values: &[END_OF_LIFE] },
    Described {
        path: "{g}/galleries/parent/scripts/s/versions/{n}.0.0",
        versions: SCRIPT_VERSIONS,
        values: &[
            SCRIPT_LINK,
            ("/properties/publishingProfile/source/parameters/0/type", Is("\"Int\"")),
            ("/properties/publishingProfile/source/parameters/0/minValue", Is("\"1\"")),
            ("/properties/publishingProfile/source/parameters/0/maxValue", Is("\"3\"")),
            ("/properties/publishingProfile/source/parameters/0/defaultValue", Is("\"2\"")),
            ("/properties/publishingProfile/source/parameters/0/enumValues", Out("are an Enum's")),
            TARGET_REGION,
            VERSION_END_OF_LIFE,
            NO_EDGE_ZONES,
            NO_STRATEGY,
        ],
    },
    Described {
        path: "{g}/galleries/parent/scripts/s/versions/{n}.1.0",
        versions: SCRIPT_VERSIONS,
        values: &[
            SCRIPT_LINK,
            ("/properties/publishingProfile/source/parameters/0/type", Is("\"Enum\"")),
            ("/properties/publishingProfile/source/parameters/0/minValue", Out("is a number's")),
            ("/properties/publishingProfile/source/parameters/0/maxValue", Out("is a number's")),
            ("/properties/publishingProfile/source/parameters/0/enumValues/0", Is("\"One\"")),
            ("/properties/publishingProfile/source/parameters/0/defaultValue", Is("\"One\"")),
            TARGET_REGION,
            VERSION_END_OF_LIFE,
            NO_EDGE_ZONES,
            NO_STRATEGY,
        ],
    },
    Described {
        path: "{g}/galleries/parent/inVMAccessControlProfiles/p{n}",
        versions: &["2024-03-03", "2025-03-03", "2025-12-03", "2026-03-03"],
        values: &[],
    },
    Described {
        path: "{g}/galleries/parent/inVMAccessControlProfiles/p/versions/{n}.0.0",
        versions: &["2024-03-03", "2025-03-03", "2025-12-03", "2026-03-03"],
        values: &[
            ("/properties/targetLocations/0/name", Is("\"eastus\"")),
            // What the rules refer to is among them.
            ("/properties/rules/privileges/0/name", Is("\"Privilege\"")),
            ("/properties/rules/roles/0/name", Is("\"Role\"")),
            ("/properties/rules/roles/0/privileges/0", Is("\"Privilege\"")),
            ("/properties/rules/identities/0/name", Is("\"Identity\"")),
            ("/properties/rules/roleAssignments/0/role", Is("\"Role\"")),
            ("/properties/rules/roleAssignments/0/identities/0", Is("\"Identity\"")),
        ],
    },
    Described {
        path: "{g}/images/m{n}",
        versions: &["2024-11-01", "2026-04-01"],
        values: &[
            ("/properties/sourceVirtualMachine", EXCLUSIVE),
            ("/properties/storageProfile/osDisk/managedDisk", Is(r#"{"id":"{disk}"}"#)),
            ("/properties/storageProfile/osDisk/osType", Is("\"Linux\"")),
            ("/properties/storageProfile/osDisk/snapshot", EXCLUSIVE),
            ("/properties/storageProfile/osDisk/blobUri", EXCLUSIVE),
            ("/properties/storageProfile/dataDisks/0/managedDisk", Is(r#"{"id":"{data}"}"#)),
            ("/properties/storageProfile/dataDisks/0/snapshot", EXCLUSIVE),
            ("/properties/storageProfile/dataDisks/0/blobUri", EXCLUSIVE),
            ("/properties/hyperVGeneration", Is("\"V2\"")),
        ],
    },
    Described {
        path: "{g}/disks/d{n}",
        versions: &["2024-03-02", "2026-03-02"],
        values: &[
            ("/properties/creationData", Is(r#"{"createOption":"Empty"}"#)),
            ("/properties/osType", Is("\"Linux\"")),
        ],
    },
    Described {
        path: "{g}/snapshots/s{n}",
        versions: &["2024-03-02", "2026-03-02"],
        values: &[
            ("/properties/creationData", Is(r#"{"createOption":"Copy","sourceResourceId":"{disk}"}"#)),
            ("/properties/osType", Is("\"Linux\"")),
        ],
    },
];

/// A gallery in process with what the types need.
pub(crate) async fn prepared() -> Gallery {
    let gallery = Gallery::start().await;
    gallery.make_group("rg", "eastus").await;
    let make = async |path: &str, version: &str, body: Value| {
        let accepted = gallery.put(&format!("{GROUP}/{path}?api-version={version}"), body).await;
        gallery.succeeded(&accepted).await;
    };
    for disk in ["disk", "data"] {
        let body = json!({ "location": "eastus", "properties": { "osType": "Linux", "hyperVGeneration": "V2",
            "creationData": { "createOption": "Empty" }, "diskSizeGB": 1 } });
        make(&format!("disks/{disk}"), "2024-03-02", body).await;
    }
    let id = gallery.path(&format!("{GROUP}/disks/disk"));
    let image = json!({ "location": "eastus", "properties": { "hyperVGeneration": "V2", "storageProfile": { "osDisk": {
        "osType": "Linux", "osState": "Generalized", "managedDisk": { "id": id } } } } });
    make("images/image", "2024-11-01", image).await;
    gallery.make_definition("rg", "parent", "i", "eastus").await;
    let profile =
        json!({ "location": "eastus", "properties": { "osType": "Linux", "applicableHostEndpoint": "IMDS" } });
    make("galleries/parent/inVMAccessControlProfiles/p", "2024-03-03", profile).await;
    for path in ["galleries/parent/applications/a", "galleries/parent/scripts/s"] {
        let guests = json!({ "location": "eastus", "properties": { "supportedOSType": "Linux" } });
        make(path, "2025-03-03", guests).await;
    }
    gallery
}

impl Described {
    /// The path of the resource with this number.
    pub(crate) fn path_of(&self, n: usize) -> String {
        self.path.replace("{g}", GROUP).replace("{n}", &n.to_string())
    }

    /// The path and query of a request.
    pub(crate) fn target(&self, n: usize, version: &str) -> String {
        format!("{}?api-version={version}", self.path_of(n))
    }

    /// The members that a client may write in a version, without those that a good body does not have.
    pub(crate) fn properties(&self, gallery: &Gallery, version: &str) -> Vec<properties::Property> {
        let left_out = |pointer: &str| {
            self.values.iter().any(|(at, given)| match given {
                Out(reason) => {
                    assert!(!reason.is_empty());
                    is_below(pointer, at) || pointer == *at
                }
                Is(_) => is_below(pointer, at),
            })
        };
        let mut all = properties::of("PUT", &gallery.path(&self.target(1, version)));
        assert!(!all.is_empty(), "{} {version}", self.path);
        all.retain(|property| !left_out(&property.pointer));
        all
    }

    /// A body with everything that a version declares.
    pub(crate) fn body(&self, gallery: &Gallery, version: &str, n: usize) -> Value {
        let mut body = json!({});
        let mut numbers = 0;
        for property in self.properties(gallery, version) {
            let (above, name) = property.pointer.rsplit_once('/').expect("a pointer");
            let given = self.values.iter().find(|(at, _)| *at == property.pointer);
            let value = match given {
                Some((_, Is(text))) => self.value(gallery, text, n),
                _ if property.pointer == "/location" => json!("eastus"),
                // No two are alike; the least come first, so ranges are in order.
                _ if matches!(property.kind, Kind::Integer(_)) => {
                    numbers += 1;
                    json!(numbers)
                }
                _ => property.example(),
            };
            let parent = body.pointer_mut(above).unwrap_or_else(|| panic!("{} has no parent", property.pointer));
            match parent {
                Value::Array(entries) => entries[0] = value,
                parent => parent[name] = value,
            }
        }
        // Older versions of galleries are shared with groups, and have nothing to tell about a publisher.
        let has_community =
            self.properties(gallery, version).iter().any(|property| property.name() == "sharingProfile")
                && version >= "2021-10-01";
        if !has_community && body.pointer("/properties/sharingProfile").is_some() {
            body["properties"]["sharingProfile"] = json!({ "permissions": "Groups" });
        }
        body
    }

    fn value(&self, gallery: &Gallery, text: &str, n: usize) -> Value {
        let id = |path: &str| gallery.path(&format!("{GROUP}/{path}"));
        let text = text.replace("{n}", &n.to_string()).replace("{disk}", &id("disks/disk"));
        let text = text.replace("{data}", &id("disks/data")).replace("{image}", &id("images/image"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

fn is_below(pointer: &str, at: &str) -> bool {
    pointer.strip_prefix(at).is_some_and(|rest| rest.starts_with('/'))
}
