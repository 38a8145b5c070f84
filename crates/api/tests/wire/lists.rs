//! Lists: pages, scopes, filters.

use galerie_testkit::Gallery;
use serde_json::{Value, json};

/// More than a page has.
const GALLERIES: usize = 130;

#[tokio::test]
async fn pages_follow_next_links_to_the_end() {
    let gallery = Gallery::start().await;
    gallery.make_group("rg", "eastus").await;
    // More than Azure lets a subscription have.
    let lifted = format!("/galerie/quota/set?subscription={}&azureLimits=off", gallery.subscription);
    let _ = gallery.post(&lifted, None).await.expect(200);
    for index in 0..GALLERIES {
        let path =
            format!("{{s}}/resourceGroups/rg/providers/Microsoft.Compute/galleries/g{index}?api-version=2024-03-03");
        let _ = gallery.put(&path, json!({ "location": "eastus" })).await.expect(201);
    }
    for path in [
        "{s}/providers/Microsoft.Compute/galleries?api-version=2021-10-01",
        "{s}/resourceGroups/rg/providers/Microsoft.Compute/galleries?api-version=2021-10-01",
        "{s}/resources?api-version=2021-04-01&$filter=resourceGroup%20eq%20'RG'",
        "{s}/resourceGroups/rg/resources?api-version=2021-04-01&$filter=resourceType eq 'microsoft.compute/galleries'&$expand=createdTime",
    ] {
        let (mut next, mut names, mut pages) = (path.replace(' ', "%20"), Vec::new(), 0);
        loop {
            let page = gallery.get(&next).await.expect(200).json();
            let items = page["value"].as_array().expect("a list").clone();
            names.extend(items.iter().map(|item| item["name"].as_str().expect("a name").to_owned()));
            pages += 1;
            let Some(link) = page["nextLink"].as_str() else { break };
            assert!(link.starts_with("https://localhost:8443/subscriptions/"), "{link}");
            next = link.to_owned();
        }
        names.sort();
        names.dedup();
        assert_eq!((names.len(), pages > 1), (GALLERIES, true), "{path}");
    }
    let bad = gallery.get("{s}/providers/Microsoft.Compute/galleries?api-version=2021-10-01&$skiptoken=!").await;
    assert_eq!((bad.status, bad.code().as_str()), (400, "InvalidSkipToken"));
}

#[tokio::test]
async fn generic_lists_have_no_properties_and_filters() {
    let gallery = Gallery::start().await;
    gallery.make_group("rg", "eastus").await;
    gallery.make_group("other", "eastus").await;
    gallery.make_definition("rg", "g", "i", "eastus").await;
    let names = async |filter: &str| -> Vec<String> {
        let path = format!("{{s}}/resources?api-version=2021-04-01&$filter={}", filter.replace(' ', "%20"));
        let listed = gallery.get(&path).await.expect(200).json();
        let items = listed["value"].as_array().expect("a list").clone();
        assert!(items.iter().all(|item| item.get("properties").is_none()), "{listed}");
        items.iter().map(|item| item["type"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let both = ["Microsoft.Compute/galleries", "Microsoft.Compute/galleries/images"];
    assert_eq!(names("").await, both);
    assert_eq!(names("resourceGroup eq 'rg'").await, both);
    assert!(names("resourceGroup eq 'other'").await.is_empty());
    assert_eq!(names("resourceType eq 'Microsoft.Compute/galleries'").await, &both[..1]);
    assert!(names("resourceType eq 'Microsoft.Network/virtualNetworks'").await.is_empty());
    let refused = gallery.get("{s}/resources?api-version=2021-04-01&$filter=tagName%20eq%20'x'").await;
    assert_eq!(refused.status, 400, "{refused}");
}

#[tokio::test]
async fn children_are_listed_below_their_parent_only() {
    let gallery = Gallery::start().await;
    gallery.make_group("rg", "eastus").await;
    gallery.make_definition("rg", "g", "i", "eastus").await;
    let base = "{s}/resourceGroups/rg/providers/Microsoft.Compute/galleries/g";
    let listed = gallery.get(&format!("{base}/images?api-version=2021-10-01")).await.expect(200).json();
    assert_eq!(listed["value"][0]["name"], "i");
    let versions = gallery.get(&format!("{base}/images/i/versions?api-version=2024-03-03")).await.expect(200).json();
    assert_eq!(versions, json!({ "value": Value::Array(Vec::new()) }));
    let orphans = gallery.get(&format!("{base}x/images?api-version=2021-10-01")).await;
    assert_eq!(orphans.status, 404, "{orphans}");
}
