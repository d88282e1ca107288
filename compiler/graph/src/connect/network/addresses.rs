//! Address ranges outside a cluster.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses of the instance metadata service, which provides the credentials of a node. An allowed range never includes them implicitly.
const INSTANCE_METADATA: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// An address range: its first address and the length of the common prefix in bits.
pub(in crate::connect) struct Range {
    address: IpAddr,
    bits: u8,
}

/// Parses an address range: `10.0.0.0/16`, `fd00::/8`.
pub(in crate::connect) fn range(text: &str) -> Option<Range> {
    let (address, bits) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let bits: u8 = bits.parse().ok()?;
    (bits <= width(address)).then_some(Range { address, bits })
}

/// Returns the number of bits of an address.
fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

impl Range {
    /// Returns the address of the instance metadata service, as a range, if this range contains it and other addresses. A range with only
    /// this address is intended.
    pub(in crate::connect) fn instance_metadata(&self) -> Option<String> {
        let found = INSTANCE_METADATA
            .iter()
            .find(|address| self.includes(**address))?;
        Some(format!("{found}/{}", width(*found)))
    }

    /// Returns whether the range contains this address and others.
    fn includes(&self, address: IpAddr) -> bool {
        let number = |address: IpAddr| match address {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits(),
        };
        let rest = u32::from(width(address).saturating_sub(self.bits));
        let prefix = |address: IpAddr| number(address).checked_shr(rest).unwrap_or(0);
        width(address) == width(self.address) && rest > 0 && prefix(address) == prefix(self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::range;

    #[test]
    fn a_range_excludes_the_metadata_service_only_among_other_addresses() {
        for (text, except) in [
            ("0.0.0.0/0", Some("169.254.169.254/32")),
            ("169.254.0.0/16", Some("169.254.169.254/32")),
            ("169.254.169.254/32", None),
            ("10.0.0.0/8", None),
            ("::/0", Some("fd00:ec2::254/128")),
            ("fd00::/8", Some("fd00:ec2::254/128")),
            ("fd00:ec2::254/128", None),
            ("fe80::/10", None),
        ] {
            let range = range(text).expect(text);
            assert_eq!(range.instance_metadata().as_deref(), except, "{text}");
        }
    }

    #[test]
    fn other_text_is_not_a_range() {
        for text in ["10.0.0.0", "10.0.0.0/33", "fd00::/129", "x/8", "10.0.0.0/x"] {
            assert!(range(text).is_none(), "{text}");
        }
    }
}
