//! The connections file of a sandbox: what `connect apply` takes.

use crate::sandbox::{Sandbox, SandboxConfig, WebSite};

/// The ids of the sandbox's shop that a connection chooses: branch, staff member, order source, payment method.
pub const CHOICES: [(&str, u64, &str); 4] = [
    ("branch", 58_001, "Chi nhánh Hà Nội (58002: Chi nhánh Sài Gòn)"),
    ("staff", 72_001, "Nhân viên Mẫu"),
    ("source", 387_002, "Abaha"),
    ("payment_method", 220_001, "Chuyển khoản (220002: Tiền mặt)"),
];

/// The names of the made-up webs: `webmau`, `webmau2`, `webmau3`…, or with a run's number.
pub fn web_aliases(stem: &str, webs: u8) -> Vec<String> {
    (1..=webs).map(|number| if number == 1 { stem.to_owned() } else { format!("{stem}{number}") }).collect()
}

/// The names of the connections in the file: that of the Abaha site, then one for each web (`mau-abaha`, `mau-web1`…).
pub fn connection_names(sandbox: &Sandbox, name: &str) -> Vec<String> {
    let stem = name.strip_suffix("-abaha").unwrap_or(name);
    let webs = (1..=sandbox.config().web_sites.len()).map(|number| format!("{stem}-web{number}"));
    std::iter::once(name.to_owned()).chain(webs).collect()
}

/// Writes the connections file for a running sandbox.
pub fn connections_file(sandbox: &Sandbox, name: &str) -> String {
    let SandboxConfig { alias, access_token, webhook_secret, site, abaha_token, abaha_header, abaha_secret, .. } =
        sandbox.config();
    let (omni, abaha) = (sandbox.omni_url(), sandbox.abaha_url());
    let header = abaha_header
        .as_ref()
        .map(|(key, value)| format!("webhook_header = {{ name = {key:?}, value = {value:?} }}\n"))
        .unwrap_or_default();
    let secret = abaha_secret.as_ref().map(|secret| format!("webhook_secret = [{secret:?}]\n")).unwrap_or_default();
    let choices = CHOICES.map(|(key, id, _)| format!("{key} = {id}\n")).concat();
    let first = format!(
        "[[store]]\nalias = {alias:?}\naccess_token = {access_token:?}\nwebhook_secret = [{webhook_secret:?}]\nbase_url = {omni:?}\n\n\
         [[connection]]\nname = {name:?}\nstore = {alias:?}\nchannel = \"abaha\"\nsite = {site:?}\ntoken = {abaha_token:?}\n{header}{secret}\
         base_url = {abaha:?}\n{choices}products = true\ncustomers = true\norders = true\nstatus_profile = \"two-class\"\ncustomer_name = \"khach\"\n"
    );
    let names = connection_names(sandbox, name).into_iter().skip(1);
    let webs = sandbox.config().web_sites.iter().zip(names).map(|(web, name)| {
        let WebSite { alias: site, access_token, webhook_secret, .. } = web;
        let base = sandbox.web_url(site);
        format!(
            "\n[[connection]]\nname = {name:?}\nstore = {alias:?}\nchannel = \"web\"\nsite = {site:?}\naccess_token = {access_token:?}\n\
             webhook_secret = [{webhook_secret:?}]\nbase_url = {base:?}\nsole_pos = true\nstock_branches = [58001, 58002]\norder_branch = 58001\n\
             staff = 72001\npayment_method = 220001\n"
        )
    });
    std::iter::once(first).chain(webs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::connect::file;

    #[tokio::test]
    async fn the_file_of_a_sandbox_is_one_that_apply_takes() {
        let web_sites = web_aliases("webmau", 2).iter().map(|alias| WebSite::named(alias)).collect();
        let config = SandboxConfig { abaha_secret: Some("ký".into()), web_sites, ..SandboxConfig::default() };
        let sandbox = Sandbox::start(config).await.unwrap();
        let parsed = file::parse(&connections_file(&sandbox, "mau-abaha"), std::path::Path::new(".")).unwrap();
        assert_eq!(parsed.connections[0].settings.branch, Some(58_001));
        assert_eq!(parsed.connections[0].base_url.as_deref(), Some(sandbox.abaha_url().as_str()));
        assert_eq!(parsed.stores[0].alias, "cuahangmau");
        let names: Vec<&str> = parsed.connections.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["mau-abaha", "mau-web1", "mau-web2"]);
        assert_eq!(parsed.connections[2].base_url.as_deref(), Some(sandbox.web_url("webmau2").as_str()));
        assert_eq!(parsed.connections[1].settings.web.stock_branches, [58_001, 58_002]);
    }
}
