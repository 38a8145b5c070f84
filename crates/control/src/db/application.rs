//! Applications: what a tenant registered, under a client id that is the same everywhere.

use serde_json::Value;
use uuid::Uuid;

use super::{
    Connection, Result,
    directory_object::{self, DirectoryObjectRow, ObjectKind},
    row::{self, Columns, Row, json},
    statement::query,
};

const FIND: &str =
    "SELECT o.*, a.app_id, a.document FROM applications a JOIN directory_objects o ON o.id = a.id WHERE a.id = $1";
const FIND_BY_APP: &str =
    "SELECT o.*, a.app_id, a.document FROM applications a JOIN directory_objects o ON o.id = a.id WHERE a.app_id = $1";
const FIND_BY_URI: &str = "SELECT o.*, a.app_id, a.document FROM application_uris u JOIN applications a ON a.id = u.application \
     JOIN directory_objects o ON o.id = a.id WHERE u.tenant = $1 AND u.uri = $2";
const INSERT: &str = "INSERT INTO applications (id, app_id, document) VALUES ($1, $2, $3)";
const UPDATE: &str = "UPDATE applications SET document = $2 WHERE id = $1";
const DELETE: &str = "DELETE FROM applications WHERE id = $1";
const ADD_URI: &str = "INSERT INTO application_uris (tenant, uri, application) VALUES ($1, $2, $3)";
const DELETE_URIS: &str = "DELETE FROM application_uris WHERE application = $1";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[FIND, FIND_BY_APP, FIND_BY_URI, INSERT, UPDATE, DELETE, ADD_URI, DELETE_URIS];

/// A row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ApplicationRow {
    pub(crate) object: DirectoryObjectRow,
    /// The client id.
    pub(crate) app_id: Uuid,
    /// Redirect URIs and the like.
    pub(crate) document: Value,
}

impl Row for ApplicationRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self {
            object: DirectoryObjectRow::read(columns)?,
            app_id: columns.id("app_id")?,
            document: columns.json("document")?,
        })
    }
}

/// An application by its object id.
pub(crate) async fn find(tx: &mut Connection, id: Uuid) -> Result<Option<ApplicationRow>> {
    row::one(tx, query(FIND).bind(id.to_string())).await
}

/// An application by its client id.
pub(crate) async fn find_by_app(tx: &mut Connection, app_id: Uuid) -> Result<Option<ApplicationRow>> {
    row::one(tx, query(FIND_BY_APP).bind(app_id.to_string())).await
}

/// A tenant's application by one of its URIs.
pub(crate) async fn find_by_uri(tx: &mut Connection, tenant: Uuid, uri: &str) -> Result<Option<ApplicationRow>> {
    row::one(tx, query(FIND_BY_URI).bind(tenant.to_string()).bind(uri)).await
}

/// Adds an application.
pub(crate) async fn insert(tx: &mut Connection, application: &ApplicationRow) -> Result<()> {
    debug_assert_eq!(application.object.kind, ObjectKind::Application);
    directory_object::insert(tx, &application.object).await?;
    let statement = query(INSERT).bind(application.object.id.to_string()).bind(application.app_id.to_string());
    row::run(tx, statement.bind(json(&application.document))).await?;
    Ok(())
}

/// Writes what can change of an application but its URIs.
pub(crate) async fn update(tx: &mut Connection, application: &ApplicationRow) -> Result<()> {
    directory_object::rename(tx, application.object.id, &application.object.display_name).await?;
    let statement = query(UPDATE).bind(application.object.id.to_string()).bind(json(&application.document));
    row::run(tx, statement).await?;
    Ok(())
}

/// Gives an application these URIs, which are free, in place of those that it had.
pub(crate) async fn replace_uris(tx: &mut Connection, application: &DirectoryObjectRow, uris: &[String]) -> Result<()> {
    let id = application.id.to_string();
    row::run(tx, query(DELETE_URIS).bind(&id)).await?;
    for uri in uris {
        row::run(tx, query(ADD_URI).bind(application.tenant.to_string()).bind(uri).bind(&id)).await?;
    }
    Ok(())
}

/// Removes an application's row and its URIs.
pub(crate) async fn delete(tx: &mut Connection, id: Uuid) -> Result<()> {
    row::run(tx, query(DELETE_URIS).bind(id.to_string())).await?;
    row::run(tx, query(DELETE).bind(id.to_string())).await?;
    Ok(())
}
