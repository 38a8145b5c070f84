//! `POST /galerie/store/{region}/{stats|verify|collect|inspect}`: looking after a region's store. Ours, not Azure's.

use galerie_arm::ArmError;

use super::{
    Answer,
    call::{Call, POST},
    response,
};

/// Answers in JSON for people and scripts. `inspect` takes `name` from the query: a pack or a manifest.
pub(super) async fn act(call: Call, region: &str, action: &str) -> Answer {
    call.only(&POST)?;
    let context = call.own_context();
    let control = &call.state.control;
    let report = match action {
        "stats" => control.store_stats(&context, region).await?,
        "verify" => control.store_verify(&context, region).await?,
        "collect" => control.store_collect(&context, region).await?,
        "inspect" => {
            let name = call.query.get("name").ok_or_else(|| ArmError::required_parameter_missing("name"))?;
            control.store_inspect(&context, region, name).await?
        }
        _ => return Err(ArmError::path_not_found(&call.path()).into()),
    };
    Ok(response::json(200, &report))
}
