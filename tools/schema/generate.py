#!/usr/bin/env python3
"""Merges Azure's published description data into crates/arm/src/schema/compute.json.

    tools/schema/generate.py SPEC_DIR [OUTPUT]

SPEC_DIR holds, as Azure/azure-rest-api-specs and Azure/bicep-types-az publish them (both MIT, Microsoft):
    compute/, resources/                            swagger 2.0
    bicep-types/microsoft.compute/VERSION/types.json
    derived/microsoft.compute/2026-03-03/...json    models extracted from the SDK azure-mgmt-compute 39.0.0
Only needed when the data is to be renewed; the result is checked in. docs/design/arm.md describes its format.
"""

import json
import re
import sys
from pathlib import Path

GALLERY_SWAGGER = ["2018-06-01", "2019-03-01", "2019-07-01", "2019-12-01", "2020-09-30", "2021-07-01", "2021-10-01",
                   "2022-01-03", "2022-03-03", "2022-08-03", "2023-07-03", "2024-03-03"]
GALLERY_BICEP = ["2025-03-03", "2025-12-03"]
GALLERY_DERIVED = "2026-03-03"
RP = "compute/resource-manager/Microsoft.Compute"

# type -> (model in swagger and SDK, models that PATCH adds)
GALLERY_TYPES = {
    "Microsoft.Compute/galleries": ("Gallery", ["GalleryUpdate"]),
    "Microsoft.Compute/galleries/images": ("GalleryImage", ["GalleryImageUpdate"]),
    "Microsoft.Compute/galleries/images/versions": ("GalleryImageVersion", ["GalleryImageVersionUpdate"]),
    "Microsoft.Compute/galleries/applications": ("GalleryApplication", ["GalleryApplicationUpdate"]),
    "Microsoft.Compute/galleries/applications/versions": ("GalleryApplicationVersion", ["GalleryApplicationVersionUpdate"]),
    "Microsoft.Compute/galleries/inVMAccessControlProfiles":
        ("GalleryInVMAccessControlProfile", ["GalleryInVMAccessControlProfileUpdate"]),
    "Microsoft.Compute/galleries/inVMAccessControlProfiles/versions":
        ("GalleryInVMAccessControlProfileVersion", ["GalleryInVMAccessControlProfileVersionUpdate"]),
    "Microsoft.Compute/galleries/scripts": ("GalleryScript", ["GalleryScriptUpdate"]),
    "Microsoft.Compute/galleries/scripts/versions": ("GalleryScriptVersion", ["GalleryScriptVersionUpdate"]),
    "body:share": ("SharingUpdate", []),
    "proxy:sharedGallery": ("SharedGallery", []),
    "proxy:sharedImage": ("SharedGalleryImage", []),
    "proxy:sharedVersion": ("SharedGalleryImageVersion", []),
    "proxy:communityGallery": ("CommunityGallery", []),
    "proxy:communityImage": ("CommunityGalleryImage", []),
    "proxy:communityVersion": ("CommunityGalleryImageVersion", []),
}
IMAGE_TYPES = {"Microsoft.Compute/images": ("Image", ["ImageUpdate"])}
DISK_TYPES = {
    "Microsoft.Compute/disks": ("Disk", ["DiskUpdate"]),
    "Microsoft.Compute/snapshots": ("Snapshot", ["SnapshotUpdate"]),
    "body:beginGetAccess": ("GrantAccessData", []),
}
GROUP_TYPES = {"Microsoft.Resources/resourceGroups": ("ResourceGroup", ["ResourceGroupPatchable"])}

PLAIN = ("body:", "proxy:")  # types that are no resources
DEEPEST = 24  # a tree deeper than this is a reference cycle


class Swagger:
    """One swagger file; references are followed into the files beside it."""

    cache = {}

    def __init__(self, path):
        self.path = path.resolve()

    def document(self, path):
        if path not in self.cache:
            self.cache[path] = json.loads(path.read_text("utf-8-sig")) if path.exists() else None
        return self.cache[path]

    def resolve(self, reference, base):
        file, _, pointer = reference.partition("#/definitions/")
        path = (base.parent / file).resolve() if file else base
        document = self.document(path)
        definition = (document or {}).get("definitions", {}).get(pointer)
        if definition is None:
            print(f"warning: {base.name}: no {reference}", file=sys.stderr)
            definition = {}
        return pointer, definition, path

    def tree(self, name):
        if name not in (self.document(self.path) or {}).get("definitions", {}):
            return None
        return self.node({"$ref": f"#/definitions/{name}"}, self.path, "", 0)

    def node(self, schema, base, name, depth):
        assert depth < DEEPEST, f"cycle at {name}"
        outer = schema
        while "$ref" in schema:
            name, schema, base = self.resolve(schema["$ref"], base)
            outer = {**schema, **outer}
        node = self.value(schema, base, name, depth)
        if outer.get("readOnly"):
            node["ro"] = True
        if outer.get("x-ms-mutability") and "update" not in outer["x-ms-mutability"]:
            if outer["x-ms-mutability"] == ["read"]:
                node["ro"] = True
        return node

    def value(self, schema, base, name, depth):
        if schema.get("enum"):
            return {"k": "enum", "e": schema["enum"]}
        kind = schema.get("type")
        if kind == "array":
            return {"k": "list", "items": self.node(schema["items"], base, name + "Item", depth + 1)}
        if kind in ("string", "boolean", "integer", "number"):
            return scalar(kind, schema.get("format"))
        properties, required = {}, set()
        self.collect(schema, base, properties, required, depth)
        if not properties and schema.get("additionalProperties"):
            extra = schema["additionalProperties"]
            return {"k": "map", "items": self.node(extra if isinstance(extra, dict) else {}, base, name + "Value", depth + 1)}
        if not properties and schema.get("type") == "object" and not schema.get("allOf"):
            return {"k": "any"}
        if not properties and not schema:
            return {"k": "any"}
        for each in required & set(properties):
            properties[each] = {**properties[each], "req": True}
        return {"k": "object", "type": name, "p": properties}

    def collect(self, schema, base, properties, required, depth):
        for parent in schema.get("allOf", []):
            inner, inner_base = parent, base
            while "$ref" in inner:
                _, inner, inner_base = self.resolve(inner["$ref"], inner_base)
            self.collect(inner, inner_base, properties, required, depth)
        for each, value in schema.get("properties", {}).items():
            properties[each] = self.node(value, base, capital(each), depth + 1)
        required.update(schema.get("required", []))


class Bicep:
    """One types.json of bicep-types-az."""

    def __init__(self, path):
        self.types = json.loads(path.read_text("utf-8"))

    def resource(self, resource_type):
        for entry in self.types:
            if entry["$type"] == "ResourceType" and entry["name"].split("@")[0] == resource_type:
                return self.node(entry["body"], 0)
        return None

    def node(self, reference, depth):
        assert depth < DEEPEST
        entry = self.types[int(reference["$ref"][2:])]
        kind = entry["$type"]
        if kind == "ObjectType":
            if not entry.get("properties") and entry.get("additionalProperties"):
                return {"k": "map", "items": self.node(entry["additionalProperties"], depth + 1)}
            properties = {}
            for name, value in entry.get("properties", {}).items():
                if depth == 0 and name == "apiVersion":
                    continue
                child = self.node(value["type"], depth + 1)
                if value["flags"] & 2:
                    child["ro"] = True
                if value["flags"] & 1:
                    child["req"] = True
                properties[name] = child
            return {"k": "object", "type": entry["name"].rsplit("/", 1)[-1], "p": properties}
        if kind == "ArrayType":
            return {"k": "list", "items": self.node(entry["itemType"], depth + 1)}
        if kind == "UnionType":
            literals = [self.types[int(e["$ref"][2:])] for e in entry["elements"]]
            return {"k": "enum", "e": [e["value"] for e in literals if e["$type"] == "StringLiteralType"]}
        if kind == "StringLiteralType":
            return {"k": "string"}
        return scalar({"StringType": "string", "IntegerType": "integer", "BooleanType": "boolean"}.get(kind, "object"), None)


class Derived:
    """The models extracted from the Python SDK."""

    def __init__(self, path):
        document = json.loads(path.read_text("utf-8"))
        self.models, self.enums = document["models"], document["enums"]

    def tree(self, name):
        return self.model(name, 0) if name in self.models else None

    def model(self, name, depth):
        assert depth < DEEPEST, f"cycle at {name}"
        properties = {}
        self.collect(name, properties, depth)
        return {"k": "object", "type": name, "p": properties}

    def collect(self, name, properties, depth):
        for base in self.models[name]["bases"]:
            if base in self.models:
                self.collect(base, properties, depth)
        for each, value in self.models[name]["properties"].items():
            child = self.value(value["type"], depth + 1)
            if value.get("readOnly"):
                child["ro"] = True
            if value.get("required"):
                child["req"] = True
            properties[each] = child

    def value(self, text, depth):
        if found := re.fullmatch(r"Optional\[(.*)\]", text):
            return self.value(found[1], depth)
        if found := re.fullmatch(r"Union\[str, (\w+)\]", text):
            return {"k": "enum", "e": self.enums[found[1]]} if found[1] in self.enums else {"k": "string"}
        if found := re.fullmatch(r"list\[(.*)\]", text):
            return {"k": "list", "items": self.value(found[1], depth + 1)}
        if found := re.fullmatch(r"dict\[str, (.*)\]", text):
            return {"k": "map", "items": self.value(found[1], depth + 1)}
        plain = {"str": "string", "bool": "boolean", "int": "integer", "float": "number", "Any": "object"}
        if text in plain:
            return scalar(plain[text], None)
        if text == "datetime.datetime":
            return {"k": "date"}
        return self.model(text, depth + 1)


def scalar(kind, format_):
    if kind == "string":
        return {"k": "date" if format_ == "date-time" else "string"}
    if kind == "integer":
        return {"k": {"int32": "int32", "int64": "int64"}.get(format_, "int")}
    return {"k": {"boolean": "bool", "number": "number"}.get(kind, "any")}


def capital(name):
    return name[:1].upper() + name[1:]


def merge(versions, path):
    """versions: [(index, node)], oldest first. Gives one node whose properties say in which versions they are."""
    newest = versions[-1][1]
    kinds = {node["k"] for _, node in versions}
    if "enum" in kinds and "string" in kinds:
        versions = [(i, n) for i, n in versions if n["k"] == "enum"]
        newest, kinds = versions[-1][1], {"enum"}
    if kinds & {"int32", "int64"} and "int" in kinds:
        kinds.discard("int")
    if "date" in kinds and "string" in kinds:
        kinds = {"date"}
    if len(kinds) > 1:
        print(f"warning: {path}: {kinds}", file=sys.stderr)
        versions = [(i, n) for i, n in versions if n["k"] == newest["k"]]
        kinds = {newest["k"]}
    kind = kinds.pop()
    merged = {"k": {"int": "int64"}.get(kind, kind)}
    if kind == "enum":
        values = []
        for _, node in versions:
            values += [value for value in node["e"] if value not in values]
        merged["e"] = values
    elif kind in ("list", "map"):
        merged["items"] = merge([(i, n["items"]) for i, n in versions], path + "[]")
    elif kind == "object":
        merged["type"] = newest["type"]
        names = []
        for _, node in reversed(versions):
            names += [name for name in node["p"] if name not in names]
        here = [i for i, _ in versions]
        merged["p"] = {}
        for name in names:
            having = [(i, n["p"][name]) for i, n in versions if name in n["p"]]
            child = merge(having, f"{path}.{name}")
            present = [i for i, _ in having]
            if present != here:
                child["in"] = spans(present, here)
            for mark in ("ro", "req"):
                marked = [i for i, n in having if n.get(mark)]
                if marked == present:
                    child[mark] = True
                elif marked:
                    child[mark] = spans(marked, here)
            merged["p"][name] = child
    return merged


def spans(marked, among):
    """[from, to) pairs of version indexes; `to` is left out when it lasts to the newest."""
    result, marked = [], set(marked)
    for position, index in enumerate(among):
        if index not in marked:
            continue
        if position and among[position - 1] in marked:
            continue
        end = next((i for i in among[position:] if i not in marked), None)
        result.append([index] if end is None else [index, end])
    return result


def union(node, extra):
    """Adds what PATCH may hold besides; what both have stays as PUT has it."""
    if extra is None:
        return node
    if node["k"] == extra["k"] == "object":
        for name, child in extra["p"].items():
            child = {key: value for key, value in child.items() if key != "req"}
            node["p"][name] = union(node["p"][name], child) if name in node["p"] else child
    return node


def resource(tree, is_plain):
    """id, name and type of every resource are the server's. Bodies of actions and proxies are no resources."""
    if is_plain:
        return tree
    for name in ("id", "name", "type"):
        tree["p"].setdefault(name, {"k": "string"})
        tree["p"][name] = {"k": tree["p"][name]["k"], "ro": True}
    return tree


def family(types, sources, sparse):
    """sources: [(version, function of (type, model) to a tree or None)], oldest first."""
    result = {"versions": [version for version, _ in sources], "sparse": sparse, "types": {}}
    for resource_type, (model, updates) in types.items():
        found = []
        for index, (_, tree) in enumerate(sources):
            node = tree(resource_type, model)
            if node is None:
                continue
            for update in updates:
                node = union(node, tree(None, update))
            found.append((index, resource(node, resource_type.startswith(PLAIN))))
        if not found:
            sys.exit(f"no data for {resource_type}")
        result["types"][resource_type] = {"first": found[0][0], "node": merge(found, resource_type)}
    return result


def main():
    spec = Path(sys.argv[1])
    output = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parents[2] / "crates/arm/src/schema/compute.json"
    derived = Derived(spec / "derived/microsoft.compute/2026-03-03/gallery-images-disks.json")

    def swagger(*paths):
        files = [Swagger(spec / path) for path in paths]
        return lambda _, model: next((tree for tree in (file.tree(model) for file in files) if tree), None)

    def from_bicep(version):
        # Bodies of actions and proxies are no resources, so the SDK's later models stand in for them; PATCH has no models here.
        file = Bicep(spec / f"bicep-types/microsoft.compute/{version}/types.json")

        def tree(resource_type, model):
            if resource_type is None:
                return None
            return derived.tree(model) if resource_type.startswith(PLAIN) else file.resource(resource_type)

        return tree

    def from_derived(_, model):
        return derived.tree(model)

    def gallery_swagger(version):
        names = ("gallery", "sharedGallery", "communityGallery")
        return swagger(*(f"{RP}/GalleryRP/stable/{version}/{name}.json" for name in names))

    gallery = [(v, gallery_swagger(v)) for v in GALLERY_SWAGGER]
    gallery += [(v, from_bicep(v)) for v in GALLERY_BICEP]
    gallery += [(GALLERY_DERIVED, from_derived)]
    image = [("2024-11-01", swagger(f"{RP}/ComputeRP/stable/2024-11-01/image.json")), ("2026-04-01", from_derived)]
    disks = f"{RP}/DiskRP/stable/2024-03-02"
    disk = [("2024-03-02", swagger(f"{disks}/disk.json", f"{disks}/snapshot.json", f"{disks}/diskRPCommon.json")),
            ("2026-03-02", from_derived)]
    group = [("2025-03-01", swagger("resources/resource-manager/Microsoft.Resources/stable/2025-03-01/resources.json"))]
    table = {
        "source": "Azure/azure-rest-api-specs and Azure/bicep-types-az, MIT, Microsoft; merged by tools/schema/generate.py",
        "families": {
            "gallery": family(GALLERY_TYPES, gallery, False),
            "image": family(IMAGE_TYPES, image, True),
            "disk": family(DISK_TYPES, disk, True),
            "group": family(GROUP_TYPES, group, True),
        },
    }
    text = json.dumps(table, separators=(",", ":"), ensure_ascii=False)
    # One line for each type, so that a change can be read.
    text = re.sub(r'("(?:Microsoft\.|body:|proxy:)[^"]*":\{"first")', r"\n\1", text)
    output.write_text(text + "\n", "utf-8")
    print(f"{output}: {len(text)} bytes")


if __name__ == "__main__":
    main()
