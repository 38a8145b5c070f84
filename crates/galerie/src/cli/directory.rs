//! What `galerie user`, `group` and `sp` share: a client of the directory, and finding objects by what people call them.

use serde_json::Value;

use super::{
    connection::ConnectionArgs,
    document::text,
    failure::{Failure, Result},
    output,
};
use crate::client::Client;

/// A tenant's directory.
pub(super) struct Directory(Client);

impl Directory {
    pub(super) fn open(connection: ConnectionArgs) -> Result<Self> {
        Ok(Self(Client::of_directory(connection.profile()?)?))
    }

    pub(super) fn client(&self) -> &Client {
        &self.0
    }

    /// All objects of a collection that pass a filter.
    pub(super) async fn list(&self, collection: &str, filter: Option<&str>) -> Result<Vec<Value>> {
        let path = path(collection);
        Ok(match filter {
            None => self.0.list(&path).await?,
            Some(filter) => {
                let page = self.0.get(&path, &[("$filter", filter)]).await?;
                page.get("value").and_then(Value::as_array).cloned().unwrap_or_default()
            }
        })
    }

    /// Says so where others are called like an object that was just made: by its name nobody can tell them apart.
    pub(super) async fn warn_of_namesakes(&self, (kind, collection): (&str, &str), name: &str) -> Result<()> {
        let filter = format!("displayName eq '{}'", name.replace('\'', "''"));
        let count = self.list(collection, Some(&filter)).await?.len();
        if count > 1 {
            output::note(&format!(
                "{count} {kind}s are called {} now; name them by their ids.",
                output::printable(name)
            ));
        }
        Ok(())
    }

    /// Makes an object.
    pub(super) async fn make(&self, collection: &str, body: &Value) -> Result<Value> {
        Ok(self.0.post(&path(collection), body).await?.body)
    }

    /// Deletes the object that a name means, after asking; see [`Directory::find`]. `kind` is what people call such an object.
    ///
    /// # Errors
    /// When there is none; when the answer is no; what the server says.
    pub(super) async fn delete(&self, (kind, collection): (&str, &str), args: &DeleteArgs) -> Result<()> {
        let found = self.find(collection, &args.name).await?;
        let said = called(kind, &found);
        output::confirm(&format!("Delete {said}, with all its memberships and role assignments?"), args.yes)?;
        self.0.delete(&path(&format!("{collection}/{}", text(&found, "id")))).await?;
        output::note(&format!("Deleted {said}."));
        Ok(())
    }

    /// The name of a user in the directory: an object id is one, a name without a domain gets the tenant's.
    pub(super) async fn user_name(&self, name: &str) -> Result<String> {
        if name.contains('@') || name.parse::<uuid::Uuid>().is_ok() {
            return Ok(name.to_owned());
        }
        let domains = self.list("domains", None).await?;
        let domain = domains.first().map(|domain| text(domain, "id")).unwrap_or_default();
        Ok(format!("{name}@{domain}"))
    }

    /// The object that an id, a user name, a client id or a display name means.
    pub(super) async fn find(&self, collection: &str, name: &str) -> Result<Value> {
        if name.parse::<uuid::Uuid>().is_ok()
            && let Some(found) = self.0.find(&format!("{}/{name}", path(collection)), &[]).await?
        {
            return Ok(found);
        }
        let quoted = name.replace('\'', "''");
        let filter = match collection {
            "users" => format!("userPrincipalName eq '{}'", self.user_name(name).await?.replace('\'', "''")),
            "servicePrincipals" if name.parse::<uuid::Uuid>().is_ok() => {
                format!("servicePrincipalNames/any(c:c eq '{quoted}')")
            }
            _ => format!("displayName eq '{quoted}'"),
        };
        let mut found = self.list(collection, Some(&filter)).await?;
        let (kind, command) = match collection {
            "users" => ("user", "user"),
            "groups" => ("group", "group"),
            _ => ("service principal", "sp"),
        };
        match found.len() {
            1 => Ok(found.remove(0)),
            0 => Err(Failure::new(format!("there is no {kind} '{name}'"))
                .advise(format!("`galerie {command} list` shows them."))
                .not_found()),
            count => Err(Failure::new(format!("{count} {kind}s are called '{name}'"))
                .advise("Name the one that you mean by its object id.")),
        }
    }

    /// The user, group or service principal that a name means.
    pub(super) async fn find_member(&self, name: &str) -> Result<Value> {
        let mut last = Err(Failure::new(format!("there is no '{name}'")));
        for collection in ["users", "groups", "servicePrincipals"] {
            last = self.find(collection, name).await;
            if last.is_ok() {
                return last;
            }
        }
        last.map_err(|_| {
            Failure::new(format!("there is no user, group or service principal '{name}'"))
                .advise("`galerie user list`, `galerie group list` and `galerie sp list` show them.")
                .not_found()
        })
    }

    /// What refers to an object in a body.
    pub(super) fn reference(&self, object: &Value) -> Value {
        let url = format!("{}/msgraph/v1.0/directoryObjects/{}", self.0.profile().endpoint_text(), text(object, "id"));
        serde_json::json!({ "@odata.id": url })
    }
}

/// The name by which people know an object.
pub(super) fn name(object: &Value) -> String {
    match text(object, "userPrincipalName") {
        name if name.is_empty() => text(object, "displayName"),
        name => name,
    }
}

/// An object as people are told about it: they may have said a part of its name, or its id.
pub(super) fn called(kind: &str, object: &Value) -> String {
    format!("{kind} {} ({})", output::printable(&name(object)), text(object, "id"))
}

/// Which object to delete.
#[derive(Debug, clap::Args)]
pub(super) struct DeleteArgs {
    /// Its name or object id; of a user without a domain, the tenant's is meant
    #[arg(add = super::names::directory_objects())]
    pub(super) name: String,
    /// Do not ask
    #[arg(short, long)]
    pub(super) yes: bool,
    #[command(flatten)]
    pub(super) connection: ConnectionArgs,
}

/// A path in Graph.
pub(super) fn path(below: &str) -> String {
    format!("/msgraph/v1.0/{below}")
}
