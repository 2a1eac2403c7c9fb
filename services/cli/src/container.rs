//! Which container of a sandbox a verb means.

use crate::{
    failure::{Failure, Result},
    sandbox::name,
};
use crd::v1beta1::Sandbox;

/// kubectl's annotation for the container that is meant where none is named.
const DEFAULT: &str = "kubectl.kubernetes.io/default-container";

/// The container that is meant, and a note where it was chosen among several.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// None where the pod template lists none: the server then says what is wrong.
    pub(crate) name: Option<String>,
    pub(crate) note: Option<String>,
}

/// What was asked for, which must exist; else the annotated container, else the first, as kubectl chooses.
///
/// # Errors
/// There is no container of the name asked for.
pub(crate) fn choose(sandbox: &Sandbox, asked: Option<&str>) -> Result<Chosen> {
    let template = &sandbox.spec.pod_template;
    let main: Vec<&str> = template.spec.containers.iter().map(|container| container.name.as_str()).collect();
    let init: Vec<&str> =
        template.spec.init_containers.iter().flatten().map(|container| container.name.as_str()).collect();
    if let Some(asked) = asked {
        if main.contains(&asked) || init.contains(&asked) {
            return Ok(Chosen { name: Some(asked.to_owned()), note: None });
        }
        let there = format!("it has: {}", listed(&main, &init));
        return Err(
            Failure::new(format!("sandbox {:?} has no container {asked:?}", name(sandbox))).remedy(there)
        );
    }
    let annotations = template.metadata.as_ref().and_then(|metadata| metadata.annotations.as_ref());
    let annotated = annotations.and_then(|all| all.get(DEFAULT)).map(String::as_str);
    let chosen = annotated.filter(|name| main.contains(name)).or_else(|| main.first().copied());
    let several = main.len() + init.len() > 1;
    let note = chosen
        .filter(|_| several && annotated.is_none())
        .map(|chosen| format!("Defaulted container {chosen:?} out of: {}", listed(&main, &init)));
    Ok(Chosen { name: chosen.map(str::to_owned), note })
}

fn listed(main: &[&str], init: &[&str]) -> String {
    let main = main.iter().map(|&name| name.to_owned());
    main.chain(init.iter().map(|name| format!("{name} (init)"))).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sandbox(annotation: Option<&str>) -> Sandbox {
        let annotations = annotation.map(|value| json!({DEFAULT: value}));
        serde_json::from_value(json!({
            "apiVersion": "agents.x-k8s.io/v1beta1", "kind": "Sandbox", "metadata": {"name": "s"},
            "spec": {"podTemplate": {"metadata": {"annotations": annotations}, "spec": {
                "containers": [{"name": "main"}, {"name": "side"}], "initContainers": [{"name": "prepare"}]}}}
        }))
        .expect("sandbox")
    }

    #[test]
    fn the_first_is_meant_unless_the_template_or_the_flag_says_another() {
        // kubectl 1.36: 'Defaulted container "main" out of: main, side, prepare (init)', and no word where it is annotated.
        let first = choose(&sandbox(None), None).expect("chosen");
        assert_eq!(first.name.as_deref(), Some("main"));
        assert_eq!(
            first.note.as_deref(),
            Some("Defaulted container \"main\" out of: main, side, prepare (init)")
        );
        let annotated = choose(&sandbox(Some("side")), None).expect("chosen");
        assert_eq!(annotated, Chosen { name: Some("side".to_owned()), note: None });
        assert_eq!(choose(&sandbox(None), Some("prepare")).expect("chosen").name.as_deref(), Some("prepare"));
    }

    #[test]
    fn a_name_that_is_wrong_is_answered_with_those_that_exist() {
        let said = choose(&sandbox(None), Some("mian")).expect_err("refused").to_string();
        assert!(said.contains("\"mian\"") && said.contains("main, side, prepare (init)"), "{said}");
    }
}
