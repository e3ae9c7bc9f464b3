#include "security/rights.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "absl/strings/string_view.h"
#include "base/narrow.h"
#include "base/status.h"
#include "base/utf8.h"
#include "security/fields.h"
#include "wire/channel_name.h"

namespace messenger {
namespace {

constexpr std::string_view kEveryone = "*";
constexpr std::size_t kMaxIdentitySize = 256;
constexpr auto kRuleFields =
    std::to_array<std::string_view>({"identity", "rights", "channel"});

constexpr std::uint8_t BitOf(Right right) {
  return Narrow<std::uint8_t>(1U << static_cast<std::size_t>(right));
}

std::optional<std::uint8_t> BitsOf(std::string_view name) {
  for (const Right right : kAllRights) {
    if (ToString(right) != name) continue;
    return right == Right::kSendAs ? BitOf(right) | BitOf(Right::kSend)
                                   : BitOf(right);
  }
  return std::nullopt;
}

absl::StatusOr<std::uint8_t> ParseRightNames(std::string_view names) {
  std::uint8_t rights = 0;
  while (true) {
    const std::size_t comma = names.find(',');
    const std::string_view name = names.substr(0, comma);
    const std::optional<std::uint8_t> bits = BitsOf(name);
    if (!bits) {
      return absl::InvalidArgumentError(
          fmt::format("rights: {} is none of send, read, admin, send-as, with "
                      "commas and no blanks between them",
                      ShowValue(name)));
    }
    rights |= *bits;
    if (comma == std::string_view::npos) return rights;
    names.remove_prefix(comma + 1);
  }
}

absl::Status ParsePattern(std::string_view pattern, Rights::Rule* rule) {
  rule->is_prefix = pattern.ends_with('*');
  if (rule->is_prefix) pattern.remove_suffix(1);
  if (pattern.find('*') != std::string_view::npos) {
    return absl::InvalidArgumentError(fmt::format(
        "channel: {} has a '*' before its end; it is a name, the beginning of "
        "one with a '*' behind it, or '*'",
        ShowValue(pattern)));
  }
  // The empty name would be that of the default channel.
  if (pattern.empty()) {
    if (rule->is_prefix) return absl::OkStatus();
    return absl::InvalidArgumentError(
        "channel: is empty; '*' is every channel");
  }
  const absl::StatusOr<std::string_view> name =
      wire::ResolveChannelName(pattern);
  if (!name.ok()) return name.status();
  rule->channel = *name;
  return absl::OkStatus();
}

absl::StatusOr<Rights::Rule> ParseRule(const FieldLine& line) {
  const Field& identity = line.fields[0];
  // In quotes it is an identity like others, and none that can be.
  const bool is_special = !identity.is_quoted && (identity.text == kEveryone ||
                                                  identity.text == kAnonymous);
  if (!is_special) {
    const absl::Status s = CheckIdentity(identity.text);
    if (!s.ok()) return s;
  }
  Rights::Rule rule = {.line = line.number, .text = std::string(line.text)};
  const absl::StatusOr<std::uint8_t> rights =
      ParseRightNames(line.fields[1].text);
  if (!rights.ok()) return rights.status();
  rule.rights = *rights;
  const absl::Status s = ParsePattern(line.fields[2].text, &rule);
  if (!s.ok()) return s;
  return rule;
}

absl::string_view RuleKey(std::string_view identity) {
  if (identity.empty()) identity = kAnonymous;
  return {identity.data(), identity.size()};
}

const Rights::Rule* FirstThatAllows(const std::vector<Rights::Rule>& rules,
                                    Right right, std::string_view channel) {
  const auto found = std::find_if(
      rules.begin(), rules.end(),
      [&](const Rights::Rule& rule) { return rule.Allows(right, channel); });
  return found == rules.end() ? nullptr : &*found;
}

}  // namespace

std::string_view ToString(Right right) {
  switch (right) {
    case Right::kSend:
      return "send";
    case Right::kRead:
      return "read";
    case Right::kAdmin:
      return "admin";
    case Right::kSendAs:
      return "send-as";
  }
  return "unknown";
}

absl::Status CheckIdentity(std::string_view identity) {
  if (identity.empty()) {
    return absl::InvalidArgumentError("identity: is empty");
  }
  if (identity.size() > kMaxIdentitySize) {
    return absl::InvalidArgumentError(
        fmt::format("identity: {} bytes exceed the limit of {}",
                    identity.size(), kMaxIdentitySize));
  }
  if (identity == kEveryone) {
    return absl::InvalidArgumentError("identity: \"*\" stands for everyone");
  }
  if (identity == kAnonymous) {
    return absl::InvalidArgumentError(
        "identity: \"anonymous\" stands for callers without an identity");
  }
  const std::size_t bad = std::min(
      {FindInvalidUtf8(identity), FindControl(identity), identity.find('"')});
  if (bad != std::string_view::npos) {
    return absl::InvalidArgumentError(fmt::format(
        "identity: {} has at byte {} what is no character, a control "
        "character or a double quote",
        ShowValue(identity), bad + 1));
  }
  return absl::OkStatus();
}

bool Rights::Rule::Allows(Right right, std::string_view name) const {
  if ((rights & BitOf(right)) == 0) return false;
  return is_prefix ? name.starts_with(channel) : name == channel;
}

absl::StatusOr<Rights> Rights::Parse(std::string_view text) {
  Rights parsed;
  const absl::Status s = ForEachFieldLine(
      text, kRuleFields, [&parsed](const FieldLine& line) -> absl::Status {
        absl::StatusOr<Rule> rule = ParseRule(line);
        if (!rule.ok()) return rule.status();
        const std::string_view identity = line.fields[0].text;
        std::vector<Rule>& rules = identity == kEveryone
                                       ? parsed.everyone_
                                       : parsed.by_identity_[RuleKey(identity)];
        rules.push_back(*std::move(rule));
        ++parsed.size_;
        return absl::OkStatus();
      });
  if (!s.ok()) return s;
  return parsed;
}

const Rights::Rule* Rights::Find(std::string_view identity, Right right,
                                 std::string_view channel) const {
  const Rule* const of_everyone = FirstThatAllows(everyone_, right, channel);
  const auto found = by_identity_.find(RuleKey(identity));
  const Rule* const own = found == by_identity_.end()
                              ? nullptr
                              : FirstThatAllows(found->second, right, channel);
  if (own == nullptr || of_everyone == nullptr) {
    return own == nullptr ? of_everyone : own;
  }
  return own->line < of_everyone->line ? own : of_everyone;
}

bool Rights::HasAny(std::string_view identity,
                    std::optional<Right> right) const {
  const auto has = [right](const std::vector<Rule>& rules) {
    return std::ranges::any_of(rules, [right](const Rule& rule) {
      return !right || (rule.rights & BitOf(*right)) != 0;
    });
  };
  const auto own = by_identity_.find(RuleKey(identity));
  return has(everyone_) || (own != by_identity_.end() && has(own->second));
}

}  // namespace messenger
