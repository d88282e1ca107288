//! A component that has another name now.

use terrace_artifact::Body;

use super::*;

#[test]
fn a_renamed_component_moves_with_the_first_of_it_that_changes() {
    let folder = Folder::new();
    folder.deliver(&platform());
    let rename = |artifact: Artifact| {
        let mut artifact = artifact;
        if let Body::Object(object) = &mut artifact.body {
            object.address = object
                .address
                .to_string()
                .replace("/web/", "/site/")
                .parse()
                .unwrap();
        }
        artifact
    };
    let renamed = |greeting: &str| {
        let wanted = [namespace(), settings(greeting), web(), lake(30)];
        bundle(wanted.map(rename))
    };
    // Only its name: nothing to do, and the file stays where it is.
    let before = folder.files();
    let same = folder.plan(&renamed("hello"));
    assert!(same.is_empty(), "{}", render(&same, false));
    folder.apply(&same).unwrap();
    assert_eq!(folder.files(), before);
    folder.deliver(&renamed("good day"));
}
