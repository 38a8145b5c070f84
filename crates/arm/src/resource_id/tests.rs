use proptest::prelude::*;

use super::*;

const SUBSCRIPTION: &str = "f4662c1d-e072-46af-8700-b8ca2968ccab";

fn id(path: &str) -> ResourceId {
    ResourceId::parse(&path.replace("{s}", SUBSCRIPTION), "id").expect("a good id")
}

#[test]
fn parts() {
    let version =
        id("/subscriptions/{s}/resourceGroups/RG/providers/microsoft.compute/Galleries/G/images/I/versions/1.2.3");
    assert_eq!(version.resource_type(), Some(ResourceType::ImageVersion));
    assert_eq!(version.name(), "1.2.3");
    assert_eq!(version.group().map(ResourceGroupName::as_str), Some("RG"));
    assert_eq!(version.type_and_names(), "microsoft.compute/Galleries/G/images/I/versions/1.2.3");
    assert_eq!(version.name_at::<GalleryName>(0).unwrap().as_str(), "G");
    let definition = version.parent().unwrap();
    let gallery = definition.parent().unwrap();
    let group = gallery.parent().unwrap();
    let types: Vec<_> = [&definition, &gallery, &group].map(ResourceId::resource_type).into();
    assert_eq!(types, [ResourceType::ImageDefinition, ResourceType::Gallery, ResourceType::ResourceGroup].map(Some));
    assert_eq!(group.parent().unwrap().resource_type(), Some(ResourceType::Subscription));
    assert_eq!(group.parent().unwrap().parent(), None);
    assert_eq!(gallery.not_found().code, "ResourceNotFound");
    assert_eq!(group.not_found().code, "ResourceGroupNotFound");
}

#[test]
fn spelling_is_kept_and_slashes_are_tolerated() {
    let loose = id("/subscriptions/{s}//resourcegroups/RG/providers/Microsoft.Compute/disks/D1//");
    assert_eq!(
        loose.as_str(),
        format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/RG/providers/Microsoft.Compute/disks/D1")
    );
    assert_eq!(loose, id("/SUBSCRIPTIONS/{s}/resourceGroups/rg/PROVIDERS/microsoft.COMPUTE/Disks/d1"));
}

#[test]
fn versions_are_equal_by_number() {
    let base = "/subscriptions/{s}/resourceGroups/RG/providers/Microsoft.Compute/galleries/G/images/I/versions/";
    assert_eq!(id(&format!("{base}1.02.0")), id(&format!("{base}1.2.0")));
    assert_eq!(id(&format!("{base}1.02.0")).name(), "1.02.0");
    let profile = base.replace("/images/", "/inVMAccessControlProfiles/");
    assert_eq!(id(&format!("{profile}1.02.0")), id(&format!("{profile}1.2.0")));
}

#[test]
fn extensions_keep_their_scope() {
    let path = "/subscriptions/{s}/resourceGroups/RG/providers/Microsoft.Compute/galleries/G/providers/Microsoft.Authorization/roleAssignments/x";
    let assignment = id(path);
    assert_eq!(assignment.full_type(), "Microsoft.Authorization/roleAssignments");
    assert_eq!(assignment.scope().unwrap().resource_type(), Some(ResourceType::Gallery));
    assert_eq!(assignment.parent().unwrap(), *assignment.scope().unwrap());
    let at_group = id("/subscriptions/{s}/resourceGroups/RG/providers/Microsoft.Authorization/roleAssignments/x");
    assert_eq!(at_group.scope(), None);
    let at_tenant = id("/providers/Microsoft.Authorization/roleDefinitions/x");
    assert_eq!(at_tenant.subscription(), None);
}

#[test]
fn hostile_ids_are_refused() {
    let long = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{}", "x/".repeat(2000));
    for text in [
        "",
        "/",
        "subscriptions/x",
        "/subscriptions",
        "/subscriptions/not-a-guid",
        "/subscriptions/{s}/resourceGroups",
        "/subscriptions/{s}/resourceGroups/a.",
        "/subscriptions/{s}/disks/D",
        "/subscriptions/{s}/providers/Microsoft.Compute",
        "/subscriptions/{s}/providers/Microsoft.Compute/disks",
        "/subscriptions/{s}/resourceGroups/RG/providers/Microsoft.Compute/disks/a%2fb",
        "/subscriptions/{s}/resourceGroups/RG/providers/Microsoft.Compute/disks/..",
        "/subscriptions/{s}/resourceGroups/RG/providers/Microsoft.Compute/disks/a\r\nb",
        "/subscriptions/{s}/resourceGroups/RG/providers/Microsoft.Compute/disks/a?b",
        &long,
    ] {
        assert!(ResourceId::parse(&text.replace("{s}", SUBSCRIPTION), "id").is_err(), "{text}");
    }
}

#[test]
fn references() {
    let definition =
        format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/RG/providers/Microsoft.Compute/galleries/G/images/I");
    let check = |text: &str, expected: &str| {
        assert_eq!(VersionReference::parse(text, "id").unwrap().to_string(), expected, "{text}");
    };
    check(&definition, &format!("{definition}/versions/latest"));
    check(&format!("{definition}/versions/Latest"), &format!("{definition}/versions/latest"));
    check(&format!("{definition}/versions/1.2.3/"), &format!("{definition}/versions/1.2.3"));
    check("/sharedgalleries/U/images/I", "/SharedGalleries/U/Images/I/Versions/latest");
    check("/CommunityGalleries/p-1/Images/I/Versions/1.0.0", "/CommunityGalleries/p-1/Images/I/Versions/1.0.0");
    for bad in
        ["/SharedGalleries/U", "/SharedGalleries/U/Images/I/Versions/x", "/CommunityGalleries/p/Images/I/a/b/c/d", ""]
    {
        assert!(VersionReference::parse(bad, "id").is_err(), "{bad}");
    }
    assert!(VersionReference::parse(&format!("{definition}/versions/newest"), "id").is_err());
    assert!(VersionReference::parse(&definition.replace("images", "applications"), "id").is_err());
}

proptest! {
    #[test]
    fn constructed_ids_parse_back(
        group in "[a-zA-Z0-9_()-]{1,90}",
        gallery in "[a-zA-Z0-9]([a-zA-Z0-9_.]{0,20}[a-zA-Z0-9])?",
        definition in "[a-zA-Z0-9]([a-zA-Z0-9_.-]{0,20}[a-zA-Z0-9])?",
        numbers in prop::array::uniform3(0_u32..1000),
    ) {
        let (group, gallery): (ResourceGroupName, GalleryName) = (group.parse().unwrap(), gallery.parse().unwrap());
        let definition: DefinitionName = definition.parse().unwrap();
        let version = VersionName::new(numbers[0], numbers[1], numbers[2]).unwrap();
        let subscription: SubscriptionId = SUBSCRIPTION.parse().unwrap();
        let made = ResourceId::of_version(subscription, &group, &gallery, &definition, &version);
        let read = ResourceId::parse(made.as_str(), "id").unwrap();
        prop_assert_eq!(read.as_str(), made.as_str());
        prop_assert_eq!(read.key(), made.key());
        prop_assert_eq!(read.resource_type(), Some(ResourceType::ImageVersion));
        let shouted = ResourceId::parse(&made.as_str().to_uppercase(), "id").unwrap();
        prop_assert_eq!(shouted, made);
    }

    #[test]
    fn any_text_is_answered(text in "(/[a-zA-Z.%0-9{}-]{0,12}){0,60}|.{0,80}") {
        if let Ok(id) = ResourceId::parse(&text, "id") {
            prop_assert_eq!(ResourceId::parse(id.as_str(), "id").unwrap(), id);
        }
        let _ = VersionReference::parse(&text, "id");
    }
}
