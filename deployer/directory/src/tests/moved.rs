//! A component that was renamed in the stack.

use terrace_artifact::Body;

use super::*;

#[test]
fn moves_the_file_of_a_renamed_component_with_its_next_change() {
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
    // Only the name differs: the plan is empty, and the file is not moved.
    let before = folder.files();
    let same = folder.plan(&renamed("hello"));
    assert!(same.is_empty(), "{}", render(&same, false));
    folder.apply(&same).unwrap();
    assert_eq!(folder.files(), before);
    folder.deliver(&renamed("good day"));
}
