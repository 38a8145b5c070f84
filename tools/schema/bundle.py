#!/usr/bin/env python3
"""Bundles Azure's published API descriptions into crates/testkit/openapi, one self-contained file for each part and api-version.

    tools/schema/bundle.py SPEC_DIR [OUTPUT_DIR]

SPEC_DIR as for generate.py. What a validator needs is kept: operations, their query parameters, bodies, statuses and headers, and the definitions that
these reach; descriptions, examples and client hints are not. crates/testkit/openapi/README.md describes the result.
"""

import json
import re
import sys
from pathlib import Path

from generate import GALLERY_BICEP, GALLERY_SWAGGER, RP, Bicep

RESOURCES = "resources/resource-manager/Microsoft.Resources/stable"
AUTHORIZATION = "authorization/resource-manager/Microsoft.Authorization/stable/2022-04-01"
MONITOR = "monitor/resource-manager/Microsoft.Insights/stable/2015-04-01"
KEPT = ("type", "format", "required", "enum", "readOnly", "minLength", "maxLength", "minimum", "maximum", "x-ms-mutability", "x-ms-secret")
# Of a resource's `kind`, which none has here.
PATTERN_OF_KIND = r"^[-\w\._,\(\)]+$"
# What this project does not serve at all, or not in Azure's form.
LEFT_OUT = re.compile(r"^/\{\w+\}(\?|$)|/(cloudServices|virtualMachines|tagNames|denyAssignments|deployments?)\b|(?i:move|export)", re.ASCII)
GROUP_PATHS = re.compile(r"(?i)^/subscriptions/\{subscriptionId\}/(resourcegroups(/\{resourceGroupName\}(/resources)?)?|resources|providers(/\{\w+\}(/register)?)?)$")
SUBSCRIPTION_PATHS = re.compile(r"^/(tenants|subscriptions(/\{subscriptionId\}(/locations)?)?)$")


class Bundle:
    """Operations and definitions of several swagger files, as one document."""

    def __init__(self, family, version, origin):
        self.family, self.version, self.origin = family, version, origin
        self.operations, self.definitions, self.files = [], {}, {}

    def load(self, path):
        path = path.resolve()
        if path not in self.files:
            self.files[path] = json.loads(path.read_text("utf-8-sig"))
        return self.files[path]

    def add(self, path, wanted=None):
        document = self.load(path)
        for template, methods in {**document.get("paths", {}), **document.get("x-ms-paths", {})}.items():
            template = template.split("?")[0]
            if LEFT_OUT.search(template) or (wanted and not wanted.search(template)):
                continue
            for method, operation in methods.items():
                if method == "parameters":
                    continue
                body, query = None, {}
                for parameter in operation.get("parameters", []) + methods.get("parameters", []):
                    parameter, base = self.follow(parameter, path)
                    if parameter.get("in") == "body":
                        body = self.schema(parameter["schema"], base)
                    if parameter.get("in") == "query":
                        query[parameter["name"]] = parameter.get("required", False)
                responses = {status: self.schema(response["schema"], path) if "schema" in response else None
                             for status, response in operation["responses"].items() if status != "default"}
                headers = {status: sorted(response["headers"]) for status, response in operation["responses"].items() if response.get("headers")}
                self.operations.append({"method": method.upper(), "path": template, "id": operation["operationId"], "query": query, "body": body, "responses": responses}
                                       | ({"headers": headers} if headers else {}))

    def follow(self, node, base):
        while "$ref" in node:
            file, _, pointer = node["$ref"].partition("#/")
            base = (base.parent / file).resolve() if file else base.resolve()
            node = self.load(base)
            for step in pointer.split("/"):
                node = node[step]
        return node, base

    def schema(self, node, base):
        if "$ref" in node:
            file, _, name = node["$ref"].partition("#/definitions/")
            target = (base.parent / file).resolve() if file else base.resolve()
            key = self.key(target, name)
            if key not in self.definitions:
                self.definitions[key] = {}
                self.definitions[key] = self.schema(self.load(target)["definitions"][name], target)
            result = {"$ref": key}
            if node.get("readOnly"):
                result["readOnly"] = True
            return result
        # The validator knows no patterns and no lengths of lists: nothing that is served has any.
        assert node.get("pattern") in (None, PATTERN_OF_KIND) and "minItems" not in node and "maxItems" not in node, node
        result = {name: node[name] for name in KEPT if name in node}
        if node.get("x-ms-enum", {}).get("modelAsString"):
            result["open"] = True
        if "properties" in node:
            result["properties"] = {name: self.schema(value, base) for name, value in node["properties"].items()}
        if "items" in node:
            result["items"] = self.schema(node["items"], base)
        if isinstance(node.get("additionalProperties"), dict):
            result["additionalProperties"] = self.schema(node["additionalProperties"], base)
        elif node.get("additionalProperties"):
            result["additionalProperties"] = {}
        if "allOf" in node:
            result["allOf"] = [self.schema(parent, base) for parent in node["allOf"]]
        return result

    def key(self, path, name):
        """A definition's name, with its file's where two files have it."""
        owner = self.files.setdefault(("owner", name), path)
        return name if owner == path else f"{path.stem}.{name}"

    def write(self, folder):
        def lines(items, close):
            return ",\n".join(items) + f"\n{close}"

        dump = lambda value: json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        head = dump({"origin": self.origin, "family": self.family, "version": self.version})[:-1]
        operations = lines((dump(operation) for operation in self.operations), "]")
        definitions = lines((f"{dump(name)}:{dump(value)}" for name, value in sorted(self.definitions.items())), "}")
        text = f'{head},"operations":[\n{operations},"definitions":{{\n{definitions}}}\n'
        (folder / f"{self.family}-{self.version}.json").write_text(text, "utf-8")
        print(f"{self.family}-{self.version}: {len(self.operations)} operations, {len(self.definitions)} definitions, {len(text)} bytes")


class DerivedModels:
    """The models of the released Python SDK, as definitions."""

    def __init__(self, path):
        document = json.loads(path.read_text("utf-8"))
        self.operations, self.models, self.enums = document["operations"], document["models"], document["enums"]

    def add(self, bundle, name):
        if name in bundle.definitions or name not in self.models:
            return {"$ref": name} if name in self.models else {}
        model = self.models[name]
        definition = bundle.definitions[name] = {"type": "object"}
        required = [each for each, value in model["properties"].items() if value.get("required")]
        if required:
            definition["required"] = required
        definition["properties"] = {each: self.value(bundle, value["type"]) | ({"readOnly": True} if value.get("readOnly") else {})
                                    for each, value in model["properties"].items()}
        bases = [self.add(bundle, base) for base in model["bases"] if base in self.models]
        if bases:
            definition["allOf"] = bases
        return {"$ref": name}

    def value(self, bundle, text):
        if found := re.fullmatch(r"Optional\[(.*)\]", text):
            return self.value(bundle, found[1])
        if found := re.fullmatch(r"Union\[str, (\w+)\]", text):
            return {"type": "string", "enum": self.enums[found[1]], "open": True} if found[1] in self.enums else {"type": "string"}
        if found := re.fullmatch(r"list\[(.*)\]", text):
            return {"type": "array", "items": self.value(bundle, found[1])}
        if found := re.fullmatch(r"dict\[str, (.*)\]", text):
            return {"type": "object", "additionalProperties": self.value(bundle, found[1])}
        plain = {"str": {"type": "string"}, "bool": {"type": "boolean"}, "int": {"type": "integer", "format": "int64"}, "float": {"type": "number"},
                 "datetime.datetime": {"type": "string", "format": "date-time"}, "Any": {}}
        return plain[text] if text in plain else self.add(bundle, text)


def from_bicep(types, reference):
    """A Bicep type as a schema."""
    entry = types[int(reference["$ref"][2:])]
    kind = entry["$type"]
    if kind == "ObjectType":
        schema = {"type": "object"}
        properties = {name: value for name, value in entry.get("properties", {}).items() if name != "apiVersion"}
        if properties:
            schema["properties"] = {name: from_bicep(types, value["type"]) | ({"readOnly": True} if value["flags"] & 2 else {}) for name, value in properties.items()}
        required = [name for name, value in properties.items() if value["flags"] & 1 and not value["flags"] & 2]
        if required:
            schema["required"] = required
        if entry.get("additionalProperties"):
            schema["additionalProperties"] = from_bicep(types, entry["additionalProperties"])
        return schema
    if kind == "ArrayType":
        return {"type": "array", "items": from_bicep(types, entry["itemType"])}
    if kind == "UnionType":
        literals = [types[int(each["$ref"][2:])] for each in entry["elements"]]
        return {"type": "string", "enum": [each["value"] for each in literals if each["$type"] == "StringLiteralType"], "open": True}
    return {"StringType": {"type": "string"}, "StringLiteralType": {"type": "string"}, "IntegerType": {"type": "integer"}, "BooleanType": {"type": "boolean"}}.get(kind, {})


def shape(method, path):
    return method, re.sub(r"\{\w+\}", "{}", path).lower()


def derived_bundle(family, version, derived, older, origin, wanted, bicep=None):
    """Routes and models of the SDK; what an operation answers is called as in `older`, the newest bundle of raw files."""
    bundle = Bundle(family, version, origin)
    published = {shape(operation["method"], operation["path"]): operation for operation in older.operations}
    if bicep:
        for resource in bicep.types:
            if resource["$type"] == "ResourceType" and "/galleries" in resource["name"]:
                model = BICEP_MODELS[resource["name"].split("@")[0]]
                definition = bundle.definitions[model] = from_bicep(bicep.types, resource["body"])
                # Templates name their resources; in requests and answers these are the service's.
                for name in ("id", "name", "type"):
                    definition["properties"][name]["readOnly"] = True
                definition["required"] = [name for name in definition.get("required", []) if name != "name"]
    for operation in derived.operations:
        if operation["apiVersion"] != wanted:
            continue
        added = operation.get("addedIn")
        if added and added > version:
            continue
        key = shape(operation["method"], operation["path"])
        known = published[key]["responses"] if key in published else {}
        body_model = operation.get("bodyModel")
        responses = {}
        for status in operation["successStatus"]:
            schema = known.get(str(status))
            if schema is None and str(status) not in known and body_model and operation["method"] in ("PUT", "PATCH"):
                schema = {"$ref": body_model.removesuffix("Update")}
            responses[str(status)] = answered(bundle, derived, schema) if schema else None
        if not known and operation["method"] == "GET":
            responses = {"200": answered(bundle, derived, SCRIPTS[key[1].rsplit("/", 1)[-1] == "{}", key[1].count("versions") > 0])} if "scripts" in key[1] else responses
        body = derived.add(bundle, body_model) if body_model else None
        bundle.operations.append({"method": operation["method"], "path": operation["path"], "id": published[key]["id"] if key in published else f"{operation['group']}_{operation['operation']}",
                                  "query": {name: value["required"] for name, value in operation["query"].items()}, "body": body, "responses": responses})
    return bundle


def answered(bundle, derived, schema):
    name = schema.get("$ref")
    if not name:
        return schema
    if name.endswith(("List", "ListResult")) or name in ("ImageListResult", "DiskList", "SnapshotList"):
        item = LISTS.get(name) or re.sub(r"(List|ListResult)$", "", name)
        bundle.definitions.setdefault(name, {"type": "object", "required": ["value"], "properties": {"value": {"type": "array", "items": answered(bundle, derived, {"$ref": item})}, "nextLink": {"type": "string"}}})
        return {"$ref": name}
    assert name in derived.models or name in bundle.definitions, name
    return derived.add(bundle, name)


LISTS = {"ImageListResult": "Image", "GallerySoftDeletedResourceList": "GallerySoftDeletedResource"}
SCRIPTS = {(True, False): {"$ref": "GalleryScript"}, (False, False): {"$ref": "GalleryScriptList"},
           (True, True): {"$ref": "GalleryScriptVersion"}, (False, True): {"$ref": "GalleryScriptVersionList"}}
BICEP_MODELS = {
    "Microsoft.Compute/galleries": "Gallery", "Microsoft.Compute/galleries/images": "GalleryImage", "Microsoft.Compute/galleries/images/versions": "GalleryImageVersion",
    "Microsoft.Compute/galleries/applications": "GalleryApplication", "Microsoft.Compute/galleries/applications/versions": "GalleryApplicationVersion",
    "Microsoft.Compute/galleries/inVMAccessControlProfiles": "GalleryInVMAccessControlProfile",
    "Microsoft.Compute/galleries/inVMAccessControlProfiles/versions": "GalleryInVMAccessControlProfileVersion",
    "Microsoft.Compute/galleries/scripts": "GalleryScript", "Microsoft.Compute/galleries/scripts/versions": "GalleryScriptVersion",
}


def main():
    spec = Path(sys.argv[1])
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parents[2] / "crates/testkit/openapi"
    derived = DerivedModels(spec / "derived/microsoft.compute/2026-03-03/gallery-images-disks.json")
    raw = "Azure/azure-rest-api-specs be0a8e2bc65ac61ac0fa175d3d0ff05a516f87a1"
    sdk = "azure-mgmt-compute 39.0.0 (Python)"

    def of(family, version, *paths, wanted=None):
        bundle = Bundle(family, version, raw)
        for path in paths:
            if (spec / path).exists():
                bundle.add(spec / path, wanted)
        bundle.write(folder)
        return bundle

    gallery = None
    for version in GALLERY_SWAGGER:
        gallery = of("gallery", version, *(f"{RP}/GalleryRP/stable/{version}/{name}.json" for name in ("gallery", "sharedGallery", "communityGallery")))
    for version in GALLERY_BICEP:
        bicep = Bicep(spec / f"bicep-types/microsoft.compute/{version}/types.json")
        origin = f"Azure/bicep-types-az 1f896de2db966ad91e8f7d7d981e11d32e4f5d8d; routes, proxies and PATCH: {sdk}"
        derived_bundle("gallery", version, derived, gallery, origin, "2026-03-03", bicep).write(folder)
    derived_bundle("gallery", "2026-03-03", derived, gallery, sdk, "2026-03-03").write(folder)
    image = of("image", "2024-11-01", f"{RP}/ComputeRP/stable/2024-11-01/image.json")
    derived_bundle("image", "2026-04-01", derived, image, sdk, "2026-04-01").write(folder)
    disk = of("disk", "2024-03-02", f"{RP}/DiskRP/stable/2024-03-02/disk.json", f"{RP}/DiskRP/stable/2024-03-02/snapshot.json")
    derived_bundle("disk", "2026-03-02", derived, disk, sdk, "2026-03-02").write(folder)
    of("group", "2025-03-01", f"{RESOURCES}/2025-03-01/resources.json", wanted=GROUP_PATHS)
    of("subscription", "2022-12-01", f"{RESOURCES}/2022-12-01/subscriptions.json", wanted=SUBSCRIPTION_PATHS)
    monitor = Bundle("monitor", "2015-04-01", "Azure/azure-rest-api-specs ea5cdc8b5aa84aaebc762facc46d3dad36325294")
    monitor.add(spec / MONITOR / "activityLogs_API.json")
    monitor.write(folder)
    of("authorization", "2022-04-01", *(f"{AUTHORIZATION}/authorization-{name}.json" for name in ("RoleAssignmentsCalls", "RoleDefinitionsCalls")))


if __name__ == "__main__":
    main()
