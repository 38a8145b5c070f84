//! Applications: what a tenant registers, and under which URIs it is sent back to.

use galerie_arm::ArmError;
use serde_json::Value;
use uuid::Uuid;

use super::{
    Document, access, app_role, check_document,
    credential::{self, Credential, NewCertificate},
    display_name, error, merge, new_object, properties, removal,
    role::DirectoryRole,
    service_principal,
};
use crate::{
    Control, audit,
    db::{
        Connection, app_role_assignment,
        application::{self, ApplicationRow},
        directory_object::{self, ObjectKind},
        directory_role, service_principal as principals, transact,
    },
    request::{Caller, RequestContext},
};

/// URIs of one application, of each kind.
const MOST_URIS: usize = 256;
/// Bytes of a URI.
const LONGEST_URI_BYTES: usize = 2048;
/// Where redirect URIs are: `document[part]["redirectUris"]`.
const REDIRECT_PARTS: [&str; 3] = ["web", "spa", "publicClient"];

/// An application.
#[derive(Debug, Clone, PartialEq)]
pub struct Application {
    /// The object id.
    pub id: Uuid,
    /// The tenant that registered it.
    pub tenant: Uuid,
    /// The client id.
    pub app_id: Uuid,
    /// What people call it.
    pub display_name: String,
    /// When it was made, ms since 1970.
    pub created_ms: i64,
    /// Redirect URIs and the like.
    pub document: Document,
    /// How it proves itself.
    pub credentials: Vec<Credential>,
}

impl Application {
    /// The URIs that it is also known by.
    pub fn identifier_uris(&self) -> impl Iterator<Item = &str> {
        self.document.get("identifierUris").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }
}

/// An application of any tenant.
pub(super) async fn read(tx: &mut Connection, id: Uuid) -> Result<Option<Application>, ArmError> {
    match application::find(tx, id).await? {
        Some(row) => Ok(Some(whole(tx, row).await?)),
        None => Ok(None),
    }
}

async fn whole(tx: &mut Connection, row: ApplicationRow) -> Result<Application, ArmError> {
    let credentials = credential::list(tx, row.object.id).await?;
    let document = properties(&row.document);
    let ApplicationRow { object, app_id, .. } = row;
    Ok(Application {
        id: object.id,
        tenant: object.tenant,
        app_id,
        display_name: object.display_name,
        created_ms: object.created_ms,
        document,
        credentials,
    })
}

pub(super) async fn find(tx: &mut Connection, caller: &Caller, id: Uuid) -> Result<ApplicationRow, ArmError> {
    let found = application::find(tx, id).await?.filter(|found| found.object.tenant == caller.tenant);
    found.ok_or_else(|| error::not_found(&id.to_string()))
}

impl Control {
    /// Registers an application, which its maker owns.
    ///
    /// # Errors
    /// `Authorization_RequestDenied`; `Request_BadRequest` with the rule that is broken.
    pub async fn application_create(
        &self,
        ctx: &RequestContext,
        display_name: &str,
        document: Document,
        certificates: &[NewCertificate],
    ) -> Result<Application, ArmError> {
        transact!(self.db(), |tx| -> Result<Application, ArmError> {
            access::require(tx, &ctx.caller, DirectoryRole::ApplicationAdministrator).await?;
            check(&document)?;
            app_role::check(&Document::new(), &document)?;
            let object = new_object(tx, ctx.caller.tenant, ObjectKind::Application, display_name).await?;
            let row = ApplicationRow { object, app_id: Uuid::new_v4(), document: document.clone().into() };
            application::insert(tx, &row).await?;
            put_uris(tx, &row, &Document::new(), &document).await?;
            credential::replace_certificates(tx, row.object.id, certificates).await?;
            if directory_object::find(tx, ctx.caller.principal).await?.is_some() {
                directory_role::add_owner(tx, row.object.id, ctx.caller.principal).await?;
            }
            record(tx, ctx, "microsoft.directory/applications/create", row.object.id).await?;
            whole(tx, row).await
        })
    }

    /// An application by its object id.
    ///
    /// # Errors
    /// `Request_ResourceNotFound`.
    pub async fn application(&self, caller: &Caller, id: Uuid) -> Result<Application, ArmError> {
        let mut tx = self.db().read().await?;
        let row = find(&mut tx, caller, id).await?;
        whole(&mut tx, row).await
    }

    /// An application of the caller's tenant by its client id.
    ///
    /// # Errors
    /// The catalogue's.
    pub async fn application_by_app_id(&self, caller: &Caller, app_id: Uuid) -> Result<Option<Application>, ArmError> {
        let mut tx = self.db().read().await?;
        let found = application::find_by_app(&mut tx, app_id).await?;
        match found.filter(|found| found.object.tenant == caller.tenant) {
            Some(row) => Ok(Some(whole(&mut tx, row).await?)),
            None => Ok(None),
        }
    }

    /// An application of the caller's tenant by one of its URIs.
    ///
    /// # Errors
    /// The catalogue's.
    pub async fn application_by_uri(&self, caller: &Caller, uri: &str) -> Result<Option<Application>, ArmError> {
        let mut tx = self.db().read().await?;
        match application::find_by_uri(&mut tx, caller.tenant, uri).await? {
            Some(row) => Ok(Some(whole(&mut tx, row).await?)),
            None => Ok(None),
        }
    }

    /// Changes an application. Certificates that are given take the place of those that are there.
    ///
    /// # Errors
    /// `Authorization_RequestDenied`; `Request_ResourceNotFound`; `Request_BadRequest` with the rule that is broken.
    pub async fn application_update(
        &self,
        ctx: &RequestContext,
        id: Uuid,
        name: Option<&str>,
        change: Document,
        certificates: Option<&[NewCertificate]>,
    ) -> Result<Application, ArmError> {
        transact!(self.db(), |tx| -> Result<Application, ArmError> {
            let role = DirectoryRole::ApplicationAdministrator;
            access::require_or_owner(tx, &ctx.caller, role, id).await?;
            let mut row = find(tx, &ctx.caller, id).await?;
            // Where a code is sent is as good as a secret.
            access::require_no_greater_power(tx, &ctx.caller, row.app_id).await?;
            if let Some(name) = name {
                row.object.display_name = display_name(name)?;
            }
            let mut document = properties(&row.document);
            merge(&mut document, change.clone());
            check(&document)?;
            app_role::check(&properties(&row.document), &document)?;
            for role in app_role::removed(&properties(&row.document), &document) {
                app_role_assignment::delete_role(tx, row.app_id, role).await?;
            }
            put_uris(tx, &row, &properties(&row.document), &document).await?;
            row.document = document.into();
            application::update(tx, &row).await?;
            if let Some(certificates) = certificates {
                credential::replace_certificates(tx, id, certificates).await?;
            }
            record(tx, ctx, "microsoft.directory/applications/update", id).await?;
            whole(tx, row).await
        })
    }

    /// Deletes an application, and what it is to each tenant.
    ///
    /// # Errors
    /// `Authorization_RequestDenied`, also for the operator's; `Request_ResourceNotFound`.
    pub async fn application_delete(&self, ctx: &RequestContext, id: Uuid) -> Result<(), ArmError> {
        transact!(self.db(), |tx| -> Result<(), ArmError> {
            access::require_or_owner(tx, &ctx.caller, DirectoryRole::ApplicationAdministrator, id).await?;
            let row = find(tx, &ctx.caller, id).await?;
            access::require_no_greater_power(tx, &ctx.caller, row.app_id).await?;
            for principal in principals::list_by_app(tx, row.app_id).await? {
                if principal.administrator {
                    return Err(error::denied());
                }
                service_principal::remove(tx, &principal).await?;
            }
            removal::begin(tx, &row.object).await?;
            application::delete(tx, id).await?;
            removal::finish(tx, &row.object).await?;
            record(tx, ctx, "microsoft.directory/applications/delete", id).await
        })
    }
}

/// Checks what a document says that means something here.
fn check(document: &Document) -> Result<(), ArmError> {
    check_document(document)?;
    for part in REDIRECT_PARTS {
        let property = format!("{part}.redirectUris");
        for uri in uris(document.get(part).and_then(|part| part.get("redirectUris")), &property)? {
            if !is_redirect_uri(&uri) {
                let rule =
                    "absolute URIs without a fragment: https, http on localhost, or a scheme of the application's own";
                return Err(error::invalid_value(&property, rule));
            }
        }
    }
    uris(document.get("identifierUris"), "identifierUris")?;
    match document.get("signInAudience").map(Value::as_str) {
        None | Some(Some("AzureADMyOrg" | "AzureADMultipleOrgs")) => Ok(()),
        Some(_) => Err(error::invalid_value("signInAudience", "AzureADMyOrg or AzureADMultipleOrgs")),
    }
}

/// A list of URIs.
fn uris(value: Option<&Value>, property: &str) -> Result<Vec<String>, ArmError> {
    let rule = format!("a list of at most {MOST_URIS} URIs of 1 to {LONGEST_URI_BYTES} bytes");
    let invalid = || error::invalid_value(property, &rule);
    let list = match value {
        None => return Ok(Vec::new()),
        Some(value) => value.as_array().filter(|list| list.len() <= MOST_URIS).ok_or_else(invalid)?,
    };
    let uri = |value: &Value| {
        let text = value.as_str().filter(|text| (1..=LONGEST_URI_BYTES).contains(&text.len()))?;
        (!text.chars().any(|c| c.is_control() || c.is_whitespace())).then(|| text.to_owned())
    };
    list.iter().map(|value| uri(value).ok_or_else(invalid)).collect()
}

/// Whether a browser may be sent there with a code. `http` only where nobody can listen in.
fn is_redirect_uri(uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once(':') else { return false };
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let host = rest.strip_prefix("//").and_then(|rest| rest.split(['/', '?', ':']).next()).unwrap_or_default();
    let fits = match scheme.to_ascii_lowercase().as_str() {
        "https" => !host.is_empty(),
        "http" => matches!(host, "localhost" | "127.0.0.1"),
        "javascript" | "data" | "file" | "blob" | "vbscript" | "about" => false,
        _ => !rest.is_empty(),
    };
    is_scheme && fits && !uri.contains(['#', '*', '"', '<', '>', '\\', '@']) && uri.is_ascii()
}

/// Gives an application the URIs that its document names; `before` is the document that it had.
async fn put_uris(
    tx: &mut Connection,
    row: &ApplicationRow,
    before: &Document,
    document: &Document,
) -> Result<(), ArmError> {
    let held = uris(before.get("identifierUris"), "identifierUris")?;
    let uris = uris(document.get("identifierUris"), "identifierUris")?;
    for (at, uri) in uris.iter().enumerate() {
        // One from before this rule may stay until whoever it belongs to wants it: no token is issued for it.
        if names_another(uri, row) && !held.contains(uri) {
            let rule = "32 hexadecimal digits in it, with or without dashes, are an id, which must be the application's own (appId) or \
                        its tenant's.";
            return Err(ArmError::invalid_parameter("identifierUris", rule));
        }
        let holder = application::find_by_uri(tx, row.object.tenant, uri).await?;
        match holder.filter(|holder| holder.object.id != row.object.id) {
            Some(holder) if names_another(uri, &holder) && !names_another(uri, row) => give_up(tx, holder, uri).await?,
            Some(_) => return Err(error::taken("identifierUris")),
            None if uris[..at].contains(uri) => return Err(error::taken("identifierUris")),
            None => {}
        }
    }
    Ok(application::replace_uris(tx, &row.object, &uris).await?)
}

/// Takes a URI from an application that has it from before it was nobody's: it has another's id in it.
async fn give_up(tx: &mut Connection, mut holder: ApplicationRow, uri: &str) -> Result<(), ArmError> {
    let mut document = properties(&holder.document);
    let mut left = uris(document.get("identifierUris"), "identifierUris")?;
    left.retain(|held| held != uri);
    application::replace_uris(tx, &holder.object, &left).await?;
    document.insert("identifierUris".to_owned(), left.into());
    holder.document = document.into();
    Ok(application::update(tx, &holder).await?)
}

/// Whether a URI has an id in it that is neither its application's nor its tenant's: who accepts tokens for it may take it for
/// another application's.
pub(crate) fn names_another(uri: &str, application: &ApplicationRow) -> bool {
    let mut rest = uri.to_ascii_lowercase();
    for own in [application.app_id, application.object.tenant] {
        rest = rest.replace(&own.to_string(), "/").replace(&own.simple().to_string(), "/");
    }
    has_id(&rest)
}

/// Whether a text has an id in it, with dashes, braces or neither, whatever is beside it: digits that go on may hide one.
fn has_id(text: &str) -> bool {
    const DIGITS: usize = 32;
    let plain: Vec<u8> = text.bytes().filter(|byte| !b"-{}".contains(byte)).collect();
    plain.windows(DIGITS).any(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

async fn record(
    tx: &mut Connection,
    ctx: &RequestContext,
    action: &'static str,
    application: Uuid,
) -> Result<(), ArmError> {
    let now_ms = tx.now_ms().await?;
    audit::record(tx, ctx, now_ms, action, &format!("/applications/{application}"), None).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::directory_object::DirectoryObjectRow;

    /// Regression: whoever owned any application got tokens for `api://` with another's id.
    #[test]
    fn ids_are_found_however_they_are_written() {
        let [own, tenant, other] =
            [1, 2, 3].map(|number| Uuid::from_u128(0x04b0_7795_8ddb_461a_bbee_02f9_e1bf_0000 + number));
        let object = DirectoryObjectRow {
            id: Uuid::nil(),
            tenant,
            kind: ObjectKind::Application,
            display_name: String::new(),
            created_ms: 0,
        };
        let application = ApplicationRow { object, app_id: own, document: serde_json::Value::Null };
        let simple = other.simple();
        for uri in [
            format!("api://{other}"),
            format!("api://{other}/read"),
            format!("urn:uuid:{other}"),
            format!("api://{{{other}}}"),
            format!("https://a.example/{}", simple.to_string().to_uppercase()),
            other.to_string(),
            format!("api://{}", other.to_string().replacen('-', "", 1)),
            // Letters beside it that could be digits; one's own beside it.
            format!("api://{other}-dev"),
            format!("api://code-{other}"),
            format!("api://{other}a"),
            format!("https://feed-{other}.example"),
            format!("api://{simple}{simple}"),
            format!("api://{own}-{other}"),
            format!("api://{tenant}/{simple}"),
            format!("api://{}{simple}", own.simple()),
        ] {
            assert!(names_another(&uri, &application), "{uri}");
        }
        for uri in [
            "api://payroll".to_owned(),
            "https://a.example/04b07795-8ddb".to_owned(),
            format!("api://{own}"),
            format!("api://{own}-dev"),
            format!("api://{}/{}", tenant, own.simple()),
            format!("api://{}", own.to_string().to_uppercase()),
        ] {
            assert!(!names_another(&uri, &application), "{uri}");
        }
    }

    #[test]
    fn redirect_uris() {
        for uri in [
            "https://app.example/callback?x=1",
            "http://localhost",
            "http://localhost:8400/",
            "http://127.0.0.1/cb",
            "msal04b07795-8ddb-461a-bbee-02f9e1bf7b46://auth",
            "urn:ietf:wg:oauth:2.0:oob",
        ] {
            assert!(is_redirect_uri(uri), "{uri}");
        }
        for uri in [
            "",
            "http://app.example/",
            "http://localhost.evil.example/",
            "https:///x",
            "https://a/#x",
            "https://*.example/",
            "https://user@evil/",
            "javascript:alert(1)",
            "data:text/html,x",
            "/callback",
            "1x:y",
        ] {
            assert!(!is_redirect_uri(uri), "{uri}");
        }
    }
}
