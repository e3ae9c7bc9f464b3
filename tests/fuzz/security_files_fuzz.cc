// What an operator writes, or somebody else in his place: rights and tokens.
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "base/status.h"
#include "fuzz/check.h"
#include "fuzz/targets.h"
#include "messenger/printable.h"
#include "security/rights.h"
#include "security/tokens.h"

namespace messenger::fuzz {
namespace security_files_fuzz {
namespace {

void CheckError(const absl::Status& status) {
  Check(status.code() == absl::StatusCode::kInvalidArgument, "another error");
  const std::string_view message = MessageOf(status);
  Check(message.starts_with("line "), "an error without a line");
  Check(message.size() < 1000, "a long error");
  Check(message == Printable(message), "an error that is not for a terminal");
}

void RunRights(std::string_view text) {
  const auto rights = Rights::Parse(text);
  if (!rights.ok()) return CheckError(rights.status());
  for (const std::string_view identity : {"", "ann", "Ann Lee", "*"}) {
    for (const std::string_view channel : {"a", "news", "news.eu"}) {
      for (const Right right : kAllRights) {
        const Rights::Rule* const rule = rights->Find(identity, right, channel);
        if (rule == nullptr) continue;
        Check(rule->Allows(right, channel), "a rule that does not allow it");
        Check(rights->HasAny(identity), "a right of one who has none");
        Check(text.find(rule->text) != std::string_view::npos, "another line");
        // It does so by itself.
        const auto alone = Rights::Parse(rule->text);
        Check(alone.ok() && alone->size() == 1, "a line that is no rule");
        Check(alone->Find(identity, right, channel) != nullptr,
              "a line that depends on others");
      }
    }
  }
}

void RunTokens(std::string_view text) {
  const auto tokens = Tokens::Parse(text);
  if (!tokens.ok()) return CheckError(tokens.status());
  const std::string written = tokens->Serialize();
  const auto again = Tokens::Parse(written);
  CheckOk(again.status(), "what was written");
  Check(again->all().size() == tokens->all().size(), "another number");
  Check(again->Serialize() == written, "other tokens");
  for (const Tokens::Token& token : tokens->all()) {
    const Tokens::Token* const found =
        again->Find({.id = token.id, .digest = token.digest});
    Check(found != nullptr && found->identity == token.identity &&
              found->created == token.created &&
              found->expires == token.expires,
          "another token");
  }
}

}  // namespace
}  // namespace security_files_fuzz

void FuzzSecurityFiles(Input input) {
  const bool is_rights = input.Byte() % 2 == 0;
  const std::string_view text = input.Rest();
  if (is_rights) {
    security_files_fuzz::RunRights(text);
  } else {
    security_files_fuzz::RunTokens(text);
  }
}

}  // namespace messenger::fuzz
