//! `addPassword`, `removePassword` and `keyCredentials`.

use base64::{Engine, engine::general_purpose::STANDARD};
use galerie_arm::ArmError;
use galerie_control::{
    ObjectKind,
    directory::{
        credential::{NewCertificate, NewSecret},
        error,
    },
};
use secrecy::ExposeSecret;

use super::{
    Answer,
    call::{Call, done},
    document,
    properties::Properties,
};
use crate::arm::response;

/// `POST .../addPassword`: the only answer that holds the secret.
pub(super) async fn add(mut call: Call, kind: ObjectKind) -> Answer {
    let mut body = Properties::new(call.json().await?, "PasswordCredential");
    let mut new = NewSecret::default();
    if let Some(mut wanted) = body.object("passwordCredential")? {
        new.display_name = wanted.text("displayName")?;
        (new.starts_ms, new.expires_ms) = (wanted.time("startDateTime")?, wanted.time("endDateTime")?);
        if wanted.take("secretText").is_some() {
            return Err(error::read_only("secretText"));
        }
        for ignored in ["keyId", "hint", "customKeyIdentifier", "@odata.type"] {
            wanted.take(ignored);
        }
        wanted.end()?;
    }
    body.end()?;
    let (made, secret) = call.control().add_secret(&call.context, kind, call.id(1)?, new).await?;
    let mut shown = document::secret(&made);
    shown["secretText"] = secret.expose_secret().into();
    Ok(response::json(200, &shown))
}

/// `POST .../removePassword`.
pub(super) async fn remove(mut call: Call, kind: ObjectKind) -> Answer {
    let mut body = Properties::new(call.json().await?, "PasswordCredential");
    let key = body.required("keyId")?;
    body.end()?;
    let key = key.parse().map_err(|_| error::invalid_value("keyId", "a GUID"))?;
    call.control().remove_secret(&call.context, kind, call.id(1)?, key).await?;
    Ok(done())
}

/// The certificates that are to be there; `None` when the body does not speak of them.
///
/// # Errors
/// `Request_BadRequest`.
pub(super) fn certificates(body: &mut Properties) -> Result<Option<Vec<NewCertificate>>, ArmError> {
    let Some(list) = body.objects("keyCredentials")? else { return Ok(None) };
    list.into_iter().map(certificate).collect::<Result<_, _>>().map(Some)
}

fn certificate(mut wanted: Properties) -> Result<NewCertificate, ArmError> {
    let id = match wanted.text("keyId")? {
        Some(text) => Some(text.parse().map_err(|_| error::invalid_value("keyCredentials.keyId", "a GUID"))?),
        None => None,
    };
    let is_one_of = |value: Option<String>, known: &str| value.is_none_or(|value| value.eq_ignore_ascii_case(known));
    if !is_one_of(wanted.text("type")?, "AsymmetricX509Cert") || !is_one_of(wanted.text("usage")?, "Verify") {
        return Err(error::invalid_value("keyCredentials", "of the type AsymmetricX509Cert and the usage Verify"));
    }
    let certificate = match wanted.text("key")? {
        Some(text) => {
            let text: String = text.split_whitespace().collect();
            let rule = "a certificate, in base64";
            Some(STANDARD.decode(text).map_err(|_| error::invalid_value("keyCredentials.key", rule))?)
        }
        None => None,
    };
    let display_name = wanted.text("displayName")?;
    let (starts_ms, expires_ms) = (wanted.time("startDateTime")?, wanted.time("endDateTime")?);
    for ignored in ["customKeyIdentifier", "hasExtendedValue", "@odata.type"] {
        wanted.take(ignored);
    }
    wanted.end()?;
    Ok(NewCertificate { id, display_name, certificate, starts_ms, expires_ms })
}

/// Secrets are made by `addPassword` alone; a body may repeat that there are none.
///
/// # Errors
/// `Request_BadRequest`.
pub(super) fn no_secrets(body: &mut Properties) -> Result<(), ArmError> {
    match body.objects("passwordCredentials")? {
        Some(list) if !list.is_empty() => {
            Err(error::bad_request("Secrets are made with addPassword and removed with removePassword."))
        }
        _ => Ok(()),
    }
}
