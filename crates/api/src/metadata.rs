//! `GET /metadata/endpoints`: what a client needs to know to use this server as a cloud. No authentication.
//!
//! Three shapes: 2015-01-01 (older PowerShell and SDKs), 2019-05-01 (an array: `ARM_CLOUD_METADATA_URL`), 2022-09-01
//! (`az cloud register`, go-azure-sdk). Clients copy fields into settings that must not be empty, so every field has a
//! value; where nothing is served yet it is this server's own address.

use axum::{extract::Request, response::Response};
use galerie_arm::ApiVersion;
use serde_json::{Value, json};

use crate::{arm::response, hosts::AcceptedHost, query::Query};

/// The cloud's name; what `az cloud register -n` suggests.
const NAME: &str = "Galerie";

/// Answers a reading request to `/metadata/endpoints`.
pub(crate) fn answer(request: &Request, host: &AcceptedHost) -> Response {
    match ApiVersion::from_query(Query::parse(request.uri().query()).get("api-version")) {
        Ok(version) => response::json(200, &document(host, version)),
        Err(error) => response::error(&error),
    }
}

fn document(host: &AcceptedHost, version: ApiVersion) -> Value {
    if version < ApiVersion::stable(2018, 1, 1) {
        oldest(host)
    } else if version < ApiVersion::stable(2022, 1, 1) {
        json!([cloud(host)])
    } else {
        cloud(host)
    }
}

fn oldest(host: &AcceptedHost) -> Value {
    let url = host.url();
    json!({
        "galleryEndpoint": format!("{url}/"),
        "graphEndpoint": format!("{url}/msgraph"),
        "portalEndpoint": format!("{url}/"),
        "authentication": { "loginEndpoint": format!("{url}/"), "audiences": [url] }
    })
}

/// Field by field what the public cloud answers, but for `vmImageAliasDoc`: without it az uses its own list. The suffixes
/// are the host itself: names below it do not exist yet.
fn cloud(host: &AcceptedHost) -> Value {
    let url = host.url();
    let graph = format!("{url}/msgraph");
    let suffix = host.as_str();
    json!({
        "name": NAME,
        "resourceManager": format!("{url}/"),
        "portal": format!("{url}/"),
        "authentication": {
            "loginEndpoint": format!("{url}/"),
            "audiences": [url, "https://management.core.windows.net/", "https://management.azure.com/"],
            "tenant": "common",
            "identityProvider": "AAD"
        },
        "media": url,
        "graph": graph,
        "graphAudience": graph,
        "microsoftGraphResourceId": graph,
        "batch": url,
        "gallery": format!("{url}/"),
        "sqlManagement": url,
        "activeDirectoryDataLake": url,
        "appInsightsResourceId": url,
        "appInsightsTelemetryChannelResourceId": url,
        "attestationResourceId": url,
        "synapseAnalyticsResourceId": url,
        "logAnalyticsResourceId": url,
        "ossrDbmsResourceId": url,
        "suffixes": {
            "storage": suffix,
            "storageSyncEndpointSuffix": suffix,
            "keyVaultDns": suffix,
            "mhsmDns": suffix,
            "acrLoginServer": suffix,
            "sqlServerHostname": suffix,
            "mysqlServerEndpoint": suffix,
            "postgresqlServerEndpoint": suffix,
            "mariadbServerEndpoint": suffix,
            "azureDataLakeStoreFileSystem": suffix,
            "azureDataLakeAnalyticsCatalogAndJob": suffix,
            "synapseAnalytics": suffix,
            "attestationEndpoint": suffix,
            "azureFrontDoorEndpointSuffix": suffix
        }
    })
}
