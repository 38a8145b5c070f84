//! Regions that people name.

use galerie_arm::Location;

use super::{
    document::text,
    failure::{Failure, Result},
};
use crate::client::Client;

/// Refuses a region that the server does not have.
///
/// # Errors
/// The first that it has not, with those that it has.
pub(super) async fn check<'a>(client: &Client, said: impl IntoIterator<Item = &'a Location>) -> Result<()> {
    let mut said = said.into_iter().peekable();
    if said.peek().is_none() {
        return Ok(());
    }
    // Whoever may work somewhere below need not see this list; the server has the last word.
    let Ok(known) = client.list(&format!("{}/locations", client.subscription_path())).await else { return Ok(()) };
    let known: Vec<Location> = known.iter().filter_map(|found| Location::normalise(&text(found, "name"))).collect();
    match said.find(|location| !known.contains(location)) {
        None => Ok(()),
        Some(unknown) => {
            let names: Vec<&str> = known.iter().map(Location::as_str).collect();
            Err(Failure::new(format!("there is no region '{unknown}'"))
                .advise(format!("The server's regions are {}.", names.join(", "))))
        }
    }
}
