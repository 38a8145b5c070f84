// The whole way through a gallery with the Azure SDK for JavaScript; prints what it saw as one JSON object.
//
// GALERIE_TEST_ADMIN is a server's admin.json, GALERIE_TEST_VHD a fixed VHD. The server is trusted by NODE_EXTRA_CA_CERTS.
import { open, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

// The packages are not beside this file.
const resolver = createRequire(pathToFileURL(`${process.env.GALERIE_TEST_MODULES}/`));
const { ClientSecretCredential } = resolver("@azure/identity");
const { ComputeManagementClient } = resolver("@azure/arm-compute");
const { ResourceManagementClient } = resolver("@azure/arm-resources");
const { PageBlobClient, BlobClient } = resolver("@azure/storage-blob");

const PAGE_WRITE_BYTES = 4 << 20;
const GROUP = "js-group";
const GALLERY = "jsGallery";
const DEFINITION = "web";
const LOCATION = "westeurope";

const admin = JSON.parse(await readFile(process.env.GALERIE_TEST_ADMIN, "utf8"));
const endpoint = admin.endpoint;
const scopes = [`${endpoint}/.default`];
const credential = new ClientSecretCredential(admin.tenantId, admin.clientId, admin.clientSecret, {
  authorityHost: endpoint,
  disableInstanceDiscovery: true,
});
const compute = new ComputeManagementClient(credential, admin.subscriptionId, { endpoint, credentials: { scopes } });
const resources = new ResourceManagementClient(credential, admin.subscriptionId, {
  endpoint,
  credentials: { scopes },
  credentialScopes: scopes,
});

/** Every item of a list, and how many pages it came in. */
async function collect(list) {
  const pages = [];
  for await (const page of list.byPage()) pages.push(page);
  return { names: pages.flat().map((item) => item.name), pages: pages.length };
}

/** The error's status and code. */
async function refused(work) {
  try {
    await work();
  } catch (error) {
    return { status: error.statusCode ?? Number(error.status), code: error.code ?? error.body?.error?.code };
  }
  return { status: 0, code: "none" };
}

/** Writes a file into a page blob, leaving out pages of zeros. */
async function upload(sas, path) {
  const blob = new PageBlobClient(sas);
  const file = await open(path);
  const buffer = Buffer.alloc(PAGE_WRITE_BYTES);
  let offset = 0;
  for (;;) {
    const { bytesRead } = await file.read(buffer, 0, buffer.length, offset);
    if (bytesRead === 0) break;
    const block = buffer.subarray(0, bytesRead);
    if (block.some((byte) => byte !== 0)) await blob.uploadPages(block, offset, bytesRead);
    offset += bytesRead;
  }
  await file.close();
  return offset;
}

const seen = {};
await resources.resourceGroups.createOrUpdate(GROUP, { location: LOCATION, tags: { suite: "js" } });
seen.group = (await resources.resourceGroups.get(GROUP)).tags;

const gallery = await compute.galleries.createOrUpdate(GROUP, GALLERY, {
  location: LOCATION,
  description: "Made by an SDK",
  sharingProfile: { permissions: "Groups" },
});
seen.gallery = { state: gallery.provisioningState, uniqueName: gallery.identifier.uniqueName };

const definition = await compute.galleryImages.createOrUpdate(GROUP, GALLERY, DEFINITION, {
  location: LOCATION,
  osType: "Linux",
  osState: "Generalized",
  hyperVGeneration: "V2",
  identifier: { publisher: "Contoso", offer: "Web", sku: "js" },
});
seen.definition = { state: definition.provisioningState, generation: definition.hyperVGeneration };

const vhd = process.env.GALERIE_TEST_VHD;
const size = (await (await open(vhd)).stat()).size;
await compute.disks.createOrUpdate(GROUP, "js-upload", {
  location: LOCATION,
  osType: "Linux",
  hyperVGeneration: "V2",
  sku: { name: "Standard_LRS" },
  creationData: { createOption: "Upload", uploadSizeBytes: size },
});
const write = await compute.disks.grantAccess(GROUP, "js-upload", { access: "Write", durationInSeconds: 3600 });
seen.uploaded = (await upload(write.accessSAS, vhd)) === size;
await compute.disks.revokeAccess(GROUP, "js-upload");
const disk = await compute.disks.get(GROUP, "js-upload");
seen.disk = { state: disk.diskState, created: disk.timeCreated instanceof Date };

const version = await compute.galleryImageVersions.createOrUpdate(GROUP, GALLERY, DEFINITION, "1.0.0", {
  location: LOCATION,
  storageProfile: { osDiskImage: { source: { id: disk.id } } },
  publishingProfile: { targetRegions: [{ name: LOCATION }, { name: "East US", regionalReplicaCount: 2 }] },
});
seen.version = {
  state: version.provisioningState,
  regions: version.publishingProfile.targetRegions.map((region) => [region.name, region.regionalReplicaCount]),
  published: version.publishingProfile.publishedDate instanceof Date,
};
const expanded = await compute.galleryImageVersions.get(GROUP, GALLERY, DEFINITION, "1.0.0", {
  expand: "ReplicationStatus",
});
seen.replication = expanded.replicationStatus.summary.map((region) => [region.region, region.state, region.progress]);

const updated = await compute.galleryImageVersions.update(GROUP, GALLERY, DEFINITION, "1.0.0", {
  tags: { checked: "yes" },
});
seen.updated = updated.tags;

for (let number = 0; number < 130; number += 1) {
  const name = `paged-${String(number).padStart(3, "0")}`;
  await compute.galleryImages.createOrUpdate(GROUP, GALLERY, name, {
    location: LOCATION,
    osType: "Linux",
    osState: "Generalized",
    identifier: { publisher: "Contoso", offer: "Paged", sku: name },
  });
}
const definitions = await collect(compute.galleryImages.listByGallery(GROUP, GALLERY));
seen.paging = { names: new Set(definitions.names).size, listed: definitions.names.length, pages: definitions.pages };
seen.versions = (await collect(compute.galleryImageVersions.listByGalleryImage(GROUP, GALLERY, DEFINITION))).names;

await compute.gallerySharingProfile.update(GROUP, GALLERY, {
  operationType: "Add",
  groups: [{ type: "AADTenants", ids: [admin.tenantId] }],
});
const shared = await compute.galleries.get(GROUP, GALLERY, { expand: "SharingProfile/Groups" });
seen.shared = { permissions: shared.sharingProfile.permissions, groups: shared.sharingProfile.groups.length };
await compute.gallerySharingProfile.update(GROUP, GALLERY, { operationType: "Reset" });

const copy = await compute.disks.createOrUpdate(GROUP, "js-copy", {
  location: "eastus",
  creationData: { createOption: "FromImage", galleryImageReference: { id: version.id } },
});
const read = await compute.disks.grantAccess(GROUP, copy.name, { access: "Read", durationInSeconds: 3600 });
await new BlobClient(read.accessSAS).downloadToFile(process.env.GALERIE_TEST_DOWNLOAD);
await compute.disks.revokeAccess(GROUP, copy.name);

seen.missing = await refused(() => compute.galleryImages.get(GROUP, GALLERY, "nobody"));
seen.notEmpty = await refused(async () => await compute.galleries.delete(GROUP, GALLERY));
await compute.galleryImageVersions.delete(GROUP, GALLERY, DEFINITION, "1.0.0");
seen.deleted = await refused(() => compute.galleryImageVersions.get(GROUP, GALLERY, DEFINITION, "1.0.0"));
await resources.resourceGroups.beginDeleteAndWait(GROUP);
seen.groupIsThere = (await refused(() => resources.resourceGroups.get(GROUP))).status;
console.log(JSON.stringify(seen));
