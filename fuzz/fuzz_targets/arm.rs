//! What an ARM caller sends: a body for each type in an old, a current and an unknown api-version, and ids.
#![no_main]

use galerie_arm::{
    ApiVersion, ResourceId, ResourceType, VersionReference, body::LARGEST_BODY_BYTES, paging::SkipToken, parse_body,
    schema::Shape,
};
use libfuzzer_sys::fuzz_target;

const VERSIONS: [ApiVersion; 3] =
    [ApiVersion::stable(2018, 6, 1), ApiVersion::stable(2024, 3, 3), ApiVersion::stable(2099, 1, 1)];

fuzz_target!(|content: &[u8]| {
    if let Ok(text) = std::str::from_utf8(content) {
        names(text);
    }
    let Ok(body) = parse_body(content, LARGEST_BODY_BYTES) else { return };
    for resource_type in ResourceType::ALL {
        for shape in VERSIONS.iter().filter_map(|version| Shape::find(*resource_type, *version)) {
            let Ok(document) = shape.accept(body.clone()) else { continue };
            assert_eq!(
                shape.accept(shape.project(document.clone())).as_ref(),
                Ok(&document),
                "reading and writing back changes"
            );
            assert_eq!(shape.merge_put(&document, document.clone()), document, "the same write again changes");
        }
    }
});

fn names(text: &str) {
    if let Ok(id) = ResourceId::parse(text, "id") {
        assert_eq!(ResourceId::parse(id.as_str(), "id").as_ref(), Ok(&id), "an id does not read itself back");
        let _ = (id.parent(), id.resource_type());
    }
    if let Ok(reference) = VersionReference::parse(text, "id") {
        let again = VersionReference::parse(&reference.to_string(), "id");
        assert_eq!(again.as_ref().map(VersionReference::version), Ok(reference.version()));
    }
    let _ = (text.parse::<ApiVersion>(), SkipToken::decode(text));
}
