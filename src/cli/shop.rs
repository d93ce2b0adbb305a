//! The connections file of a sandbox: what `connect apply` takes.

use crate::sandbox::{Sandbox, SandboxConfig};

/// The ids of the sandbox's shop that a connection chooses: branch, staff member, order source, payment method.
pub const CHOICES: [(&str, u64, &str); 4] = [
    ("branch", 58_001, "Chi nhánh Hà Nội (58002: Chi nhánh Sài Gòn)"),
    ("staff", 72_001, "Nhân viên Mẫu"),
    ("source", 387_002, "Abaha"),
    ("payment_method", 220_001, "Chuyển khoản (220002: Tiền mặt)"),
];

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
    format!(
        "[[store]]\nalias = {alias:?}\naccess_token = {access_token:?}\nwebhook_secret = [{webhook_secret:?}]\nbase_url = {omni:?}\n\n\
         [[connection]]\nname = {name:?}\nstore = {alias:?}\nchannel = \"abaha\"\nsite = {site:?}\ntoken = {abaha_token:?}\n{header}{secret}\
         base_url = {abaha:?}\n{choices}products = true\ncustomers = true\norders = true\nstatus_profile = \"two-class\"\ncustomer_name = \"khach\"\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::connect::file;

    #[tokio::test]
    async fn the_file_of_a_sandbox_is_one_that_apply_takes() {
        let config = SandboxConfig { abaha_secret: Some("ký".into()), ..SandboxConfig::default() };
        let sandbox = Sandbox::start(config).await.unwrap();
        let parsed = file::parse(&connections_file(&sandbox, "mau-abaha"), std::path::Path::new(".")).unwrap();
        assert_eq!(parsed.connections[0].settings.branch, Some(58_001));
        assert_eq!(parsed.connections[0].base_url.as_deref(), Some(sandbox.abaha_url().as_str()));
        assert_eq!(parsed.stores[0].alias, "cuahangmau");
    }
}
