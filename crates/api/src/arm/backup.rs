//! `POST /galerie/backup`: a backup of the whole gallery. Ours, not Azure's.

use std::path::Path;

use galerie_arm::ArmError;
use galerie_control::BackupRequest;
use serde_json::Value;

use super::{
    Answer,
    call::{Call, POST},
    response,
};

/// Answers when the backup is made, with what it took. The body names the folder on this machine (`destination`), and may
/// bring the master key, encrypted (`sealedMasterKey`).
pub(super) async fn create(mut call: Call) -> Answer {
    call.only(&POST)?;
    let body = call.json().await?;
    let destination = text(&body, "destination")?.ok_or_else(|| ArmError::required_parameter_missing("destination"))?;
    let request = BackupRequest {
        sealed_master_key: text(&body, "sealedMasterKey")?.map(str::to_owned),
        program_version: call.state.options.version.clone(),
    };
    let context = call.own_context();
    let report = call.state.control.backup_create(&context, Path::new(destination), request).await?;
    Ok(response::json(200, &report))
}

fn text<'a>(body: &'a Value, name: &str) -> Result<Option<&'a str>, ArmError> {
    match &body[name] {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        _ => Err(ArmError::invalid_parameter(name, "It is a text.")),
    }
}
