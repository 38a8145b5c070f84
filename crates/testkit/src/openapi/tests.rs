use serde_json::json;

use super::*;

const GALLERY: &str = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Compute/galleries/g?api-version=";
/// The headers of an answer that is waited for.
const POLLED: [&str; 2] = ["location", "azure-asyncoperation"];

fn check_gallery(method: &str, version: &str, status: u16, request: &Value, response: &Value) -> Vec<String> {
    let text = |value: &Value| if value.is_null() { Vec::new() } else { value.to_string().into_bytes() };
    let (request, response) = (text(request), text(response));
    let target = format!("{GALLERY}{version}");
    let exchange =
        Exchange { method, target: &target, request: &request, status, headers: &POLLED, response: &response };
    check(&exchange).iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_as_described_passes() {
    let request = json!({ "Location": "East US", "Properties": { "SOFTDELETEPOLICY": { "isSoftDeleteEnabled": "true" },
        "sharingProfile": { "permissions": "groups" }, "description": null, "provisioningState": 7 } });
    let response = json!({ "id": "x", "name": "g", "type": "t", "location": "eastus", "etag": "e", "tags": { "any": "one" },
        "properties": { "provisioningState": "Creating", "sharingProfile": { "permissions": "Groups" } } });
    assert_eq!(check_gallery("PUT", "2024-03-03", 201, &request, &response), [""; 0]);
    assert_eq!(check_gallery("DELETE", "2024-03-03", 202, &Value::Null, &Value::Null), [""; 0]);
    let error = json!({ "error": { "code": "C", "message": "m", "target": "t", "details": [{ "code": "D", "message": "n" }] } });
    assert_eq!(check_gallery("PUT", "2024-03-03", 400, &json!({ "nonsense": 1 }), &error), [""; 0]);
}

#[test]
fn what_is_not_is_found() {
    let good = json!({ "location": "eastus", "properties": {} });
    let with = |pointer: &str, value: Value| {
        let mut body = good.clone();
        let (above, name) = pointer.rsplit_once('/').expect("a pointer");
        body.pointer_mut(above).expect("a place")[name] = value;
        body
    };
    let none = Value::Null;
    for (method, version, status, request, response, expected) in [
        ("GET", "2024-03-03", 200, &none, with("/more", json!(1)), "response/more: not declared"),
        // The api-version counts.
        (
            "GET",
            "2018-06-01",
            200,
            &none,
            with("/properties/sharingProfile", json!({})),
            "response/properties/sharingProfile: not declared",
        ),
        (
            "GET",
            "2024-03-03",
            200,
            &none,
            with("/properties/description", json!(1)),
            "response/properties/description: no string",
        ),
        ("GET", "2024-03-03", 200, &none, with("/tags", json!({ "a": 1 })), "response/tags/a: no string"),
        ("GET", "2024-03-03", 200, &none, with("/tags", json!([])), "response/tags: no object"),
        (
            "GET",
            "2024-03-03",
            200,
            &none,
            with("/properties/description", none.clone()),
            "response/properties/description: null",
        ),
        ("GET", "2024-03-03", 200, &none, json!({ "properties": {} }), "response/location: required, and missing"),
        (
            "GET",
            "2024-03-03",
            200,
            &none,
            with("/properties/provisioningState", json!("succeeded")),
            "response/properties/provisioningState: 'succeeded' is spelled 'Succeeded'",
        ),
        ("GET", "2024-03-03", 200, &none, none.clone(), "response: a body is declared, and there is none"),
        ("GET", "2024-03-03", 201, &none, good.clone(), "status: 201 is not declared: 200"),
        ("DELETE", "2024-03-03", 202, &none, good.clone(), "response: no body is declared, and there is one"),
        ("TRACE", "2024-03-03", 200, &none, good.clone(), "path: no api-version of Azure's has this operation"),
        (
            "PUT",
            "2024-03-03",
            200,
            &with("/properties/more", json!(1)),
            good.clone(),
            "request/properties/more: not declared",
        ),
        (
            "PUT",
            "2024-03-03",
            200,
            &with("/properties/softDeletePolicy", json!({ "isSoftDeleteEnabled": "x" })),
            good.clone(),
            "request/properties/softDeletePolicy/isSoftDeleteEnabled: no boolean",
        ),
        ("GET", "2024-03-03", 404, &none, json!({ "code": "C" }), "response/code: not declared"),
        (
            "GET",
            "2024-03-03",
            404,
            &none,
            json!({ "error": { "code": "C", "message": "" } }),
            "response/error/message: a length of 0 is out of bounds",
        ),
    ] {
        let found = check_gallery(method, version, status, request, &response);
        assert_eq!(found.first().map(String::as_str), Some(expected), "{found:?}");
    }
}

#[test]
fn operations_are_polled_in_the_contracts_form() {
    let at = |monitor: &str| {
        format!(
            "/subscriptions/s/providers/Microsoft.Compute/locations/eastus/capsOperations/o?api-version=2024-03-03{monitor}"
        )
    };
    let ask = |target: &str, status: u16, response: &[u8]| {
        check(&Exchange { method: "GET", target, request: b"", status, headers: &POLLED, response })
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    let document = |more: Value| {
        let mut document =
            json!({ "name": "5e471e15-0000-4000-8000-5e471e155e47", "startTime": "2024-01-01T00:00:00Z" });
        more.as_object().into_iter().flatten().for_each(|(name, value)| document[name] = value.clone());
        document.to_string().into_bytes()
    };
    assert_eq!(ask(&at(""), 200, &document(json!({ "status": "InProgress" }))), [""; 0]);
    assert_eq!(ask(&at("&monitor=true"), 202, b""), [""; 0]);
    for (status, response, expected) in [
        (202, document(json!({ "status": "InProgress" })), "status: a status document is 200"),
        (200, document(json!({ "status": "Failed" })), "response/error: a failure without an error"),
        (200, document(json!({ "status": "Done" })), "response/status: 'Done' is none of"),
        (
            200,
            document(json!({ "status": "Failed", "error": { "code": "C" } })),
            "response/message: required, and missing",
        ),
        (
            200,
            document(json!({ "status": "Succeeded", "endTime": "yesterday" })),
            "response/endTime: 'yesterday' is no",
        ),
    ] {
        let found = ask(&at(""), status, &response);
        assert!(found.first().is_some_and(|text| text.starts_with(expected)), "{found:?}, not {expected}");
    }
}

#[test]
fn a_result_is_what_is_described_of_its_resource_or_action() {
    let ask = |status: u16, body: &Value| {
        let target = "/subscriptions/s/providers/Microsoft.Compute/locations/eastus/capsOperations/o?monitor=true&api-version=2024-03-03";
        let response = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let exchange = Exchange { method: "GET", target, request: b"", status, headers: &POLLED, response: &response };
        check(&exchange).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let gallery = GALLERY.split_once('?').expect("a query").0;
    let good = json!({ "id": gallery, "location": "eastus", "properties": {} });
    assert_eq!(ask(200, &good), [""; 0]);
    assert_eq!(ask(200, &json!({ "accessSAS": "https://h" })), [""; 0]);
    assert_eq!(ask(200, &json!({ "operationType": "Reset" })), [""; 0]);
    assert_eq!(ask(204, &Value::Null), [""; 0]);
    let mut more = good.clone();
    more["more"] = json!(1);
    for (status, body, expected) in [
        (200, more, "response/more: not declared"),
        (200, json!({ "accessSAS": 1 }), "response/accessSAS: no string"),
        (200, json!({ "accessSas": "https://h" }), "response: a result that is no resource, and no action's answer"),
        (202, good, "status: a result is 200, or 202 or 204 without a body"),
    ] {
        assert_eq!(ask(status, &body), [expected]);
    }
}

#[test]
fn a_change_may_be_what_a_put_may_and_is_held_against_its_own_description_without_one() {
    let wrong = |at: &str, rule: &str| Violation::new(at, rule);
    let of_patch = vec![
        wrong("request/a", schema::MISSING),
        wrong("request/b", schema::NOT_DECLARED),
        wrong("request/c", "no string"),
    ];
    let of_put = vec![wrong("request/c", "no string"), wrong("request/d", schema::MISSING)];
    assert_eq!(of_change(of_patch.clone(), Some(of_put)), of_patch[2..]);
    assert_eq!(of_change(of_patch.clone(), None), of_patch[1..]);
}

#[test]
fn null_is_absence_but_for_some_members_of_roles() {
    let ask = |target: &str, response: &Value| {
        let response = response.to_string().into_bytes();
        let target = format!("/subscriptions/s/providers/Microsoft.Authorization/{target}?api-version=2022-04-01");
        let exchange =
            Exchange { method: "GET", target: &target, request: b"", status: 200, headers: &[], response: &response };
        check(&exchange).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let assignment = |member: &str| {
        let mut properties = json!({ "roleDefinitionId": "r", "principalId": "p" });
        properties[member] = Value::Null;
        json!({ "properties": properties })
    };
    assert_eq!(ask("roleAssignments/a", &assignment("condition")), [""; 0]);
    assert_eq!(ask("roleAssignments", &json!({ "value": [assignment("description")] })), [""; 0]);
    assert_eq!(ask("roleDefinitions/d", &json!({ "properties": { "createdBy": null } })), [""; 0]);
    assert_eq!(ask("roleAssignments/a", &assignment("createdBy")), ["response/properties/createdBy: null"]);
    assert_eq!(
        ask("roleDefinitions", &json!({ "value": [{ "properties": { "description": null } }] })),
        ["response/value/0/properties/description: null"]
    );
}

#[test]
fn the_activity_log_is_azure_monitors() {
    let ask = |event: Value| {
        let target = "/subscriptions/s/providers/Microsoft.Insights/eventtypes/management/values?api-version=2015-04-01&$filter=x";
        let response = json!({ "value": [event] }).to_string().into_bytes();
        let exchange = Exchange { method: "GET", target, request: b"", status: 200, headers: &[], response: &response };
        check(&exchange).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(ask(json!({ "channels": "Operation", "level": "Error", "status": { "value": "Failed" } })), [""; 0]);
    assert_eq!(ask(json!({ "level": "Fatal" })).len(), 1);
    assert_eq!(ask(json!({ "status": "Failed" })), ["response/value/0/status: no object"]);
}

#[test]
fn the_query_of_what_was_accepted_is_as_declared() {
    let ask = |query: &str, status: u16| {
        let target = format!("{}?{query}", GALLERY.split_once('?').expect("a query").0);
        let response = json!({ "location": "eastus", "error": { "code": "C", "message": "m" } });
        let response =
            if status == 200 { json!({ "location": "eastus" }) } else { json!({ "error": response["error"] }) };
        let response = response.to_string().into_bytes();
        let exchange =
            Exchange { method: "GET", target: &target, request: b"", status, headers: &[], response: &response };
        check(&exchange).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(ask("API-version=2024-03-03&$Expand=SharingProfile/Groups&$select=Permissions", 200), [""; 0]);
    assert_eq!(ask("api-version=2024-03-03&more=1", 200), ["query/more: not declared"]);
    assert_eq!(
        ask("$select=Permissions", 200),
        ["query/api-version: required, and missing", "query/$select: not declared"]
    );
    assert_eq!(ask("more=1", 400), [""; 0], "what is refused may be anything");
    // What is later than all that is described may have more.
    assert_eq!(ask("api-version=2030-01-01&more=1", 200), [""; 0]);
}

#[test]
fn an_answer_has_the_headers_that_its_client_waits_for() {
    let ask = |method: &str, below: &str, status: u16, headers: &[&str], response: &Value| {
        let response = if response.is_null() { Vec::new() } else { response.to_string().into_bytes() };
        let target = GALLERY.replace('?', &format!("{below}?")) + "2024-03-03";
        let exchange = Exchange { method, target: &target, request: b"", status, headers, response: &response };
        check(&exchange).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let (none, profile) = (Value::Null, "/inVMAccessControlProfiles/p");
    assert_eq!(ask("DELETE", "", 202, &["location"], &none), [""; 0]);
    assert_eq!(ask("DELETE", "", 202, &[], &none), ["header/Location: a 202 says where its operation is polled"]);
    assert_eq!(ask("DELETE", profile, 202, &POLLED, &none), [""; 0]);
    assert_eq!(
        ask("DELETE", profile, 202, &["location"], &none),
        ["header/Azure-AsyncOperation: required, and missing"]
    );
    let made = |state: &str| json!({ "location": "eastus", "properties": { "provisioningState": state } });
    assert_eq!(ask("PUT", "", 201, &[], &made("Succeeded")), [""; 0]);
    assert_eq!(
        ask("PUT", "", 201, &["location"], &made("Creating")),
        ["header/Azure-AsyncOperation: a 201 says where its operation is polled"]
    );
}
