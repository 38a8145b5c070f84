//! What Azure has and this server has not (yet): said clearly, in a way that az's look-ups survive.

use axum::http::Method;
use galerie_arm::{ArmError, ResourceType, provider, resource_id::COMPUTE};

use super::{
    Answer,
    call::{Call, Failure},
    response,
    route::id_of,
};

/// Namespaces that clients of galleries touch, and that a later version may serve.
const OTHER_NAMESPACES: [&str; 5] = [
    "Microsoft.Network",
    "Microsoft.Storage",
    "Microsoft.ResourceGraph",
    "Microsoft.KeyVault",
    "Microsoft.ManagedIdentity",
];
/// Types and actions of Compute that galleries' clients ask for.
const KNOWN_TYPES: [&str; 9] = [
    "locations/publishers",
    "locations/vmsizes",
    "locations/usages",
    "skus",
    "virtualmachinescalesets",
    "diskencryptionsets",
    "diskaccesses",
    "availabilitysets",
    "proximityplacementgroups",
];

/// A path of a provider that no handler has: 501 for what Azure has, 404 for what nobody has.
pub(super) fn answer(call: &Call, namespace: &str, rest: &[&str]) -> Answer {
    let version = call.api_version()?.to_string();
    let types = without_location(rest).to_lowercase();
    let other = OTHER_NAMESPACES.iter().find(|other| other.eq_ignore_ascii_case(namespace));
    match provider::find_namespace(namespace).or(other.copied()) {
        None => Err(ArmError::invalid_resource_namespace(namespace).into()),
        Some(COMPUTE) if !is_known_compute(&types) => {
            Err(ArmError::invalid_resource_type(&rest.join("/"), COMPUTE, &version).into())
        }
        Some(namespace) => Err(not_implemented(&format!("{namespace}/{}", rest.join("/")))),
    }
}

/// A collection of what we do not have. There is nothing of it, so where a list is asked for it is empty.
pub(super) fn list(call: &Call, types: &[&str]) -> Answer {
    let resource_type = super::route::compute_type(types);
    if call.method == Method::GET && resource_type == Some(ResourceType::VirtualMachine) {
        call.api_version()?;
        return Ok(response::list(Vec::new()));
    }
    answer(call, COMPUTE, types)
}

/// A virtual machine: there is none. `az image create --source X` asks, and goes on when it hears 404.
pub(super) async fn virtual_machine(call: Call) -> Answer {
    let (context, id) = (call.context()?, id_of(&call, 0)?);
    call.state.control.require(&context, "Microsoft.Compute/virtualMachines/read", &id).await?;
    if !matches!(call.method, Method::GET | Method::HEAD | Method::DELETE) {
        return Err(not_implemented(ResourceType::VirtualMachine.as_str()));
    }
    Err(id.not_found().into())
}

/// `locations/{name}/x` is the type `locations/x`.
fn without_location(rest: &[&str]) -> String {
    match rest {
        [locations, _, below @ ..] if locations.eq_ignore_ascii_case("locations") => {
            format!("{locations}/{}", below.join("/"))
        }
        _ => rest.join("/"),
    }
}

fn is_known_compute(types: &str) -> bool {
    let known_type = ResourceType::parse(&format!("{COMPUTE}/{types}")).is_some();
    known_type || KNOWN_TYPES.iter().any(|known| types == *known || types.starts_with(&format!("{known}/")))
}

fn not_implemented(what: &str) -> Failure {
    let what: String = what.chars().take(200).collect();
    let message = format!("'{what}' is not supported by this server yet. docs/compatibility.md lists what is.");
    ArmError::new(501, "NotImplemented", message).into()
}
