#include "security/access.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <utility>

#include "base/reason.h"
#include "base/status.h"
#include "messenger/printable.h"
#include "security/files.h"

namespace messenger {
namespace {

using SteadyClock = std::chrono::steady_clock;

// How long a stream has to end by itself.
constexpr std::chrono::milliseconds kOverdueAfter{500};
// Refusals are told once for each peer, but not for so many, and again after a
// while.
constexpr std::size_t kMaxTold = 1000;
constexpr std::chrono::hours kForgetToldAfter{1};

constexpr std::string_view kTokensFile = "tokens_file";
constexpr std::string_view kRightsFile = "rights_file";

Timestamp Now() {
  return std::chrono::time_point_cast<Timestamp::duration>(
      std::chrono::system_clock::now());
}

absl::Status Unauthenticated(const std::string& text, std::string_view why) {
  return WithReason(absl::UnauthenticatedError(text), why);
}

std::string WhatToDo(std::optional<Right> right, std::string_view channel) {
  if (!right) return "use this server";
  switch (*right) {
    case Right::kSend:
      return channel.empty() ? "send" : fmt::format("send to \"{}\"", channel);
    case Right::kRead:
      return channel.empty() ? "read" : fmt::format("read \"{}\"", channel);
    case Right::kAdmin:
      return channel.empty() ? "administrate"
                             : fmt::format("administrate \"{}\"", channel);
    case Right::kSendAs:
      break;
  }
  return fmt::format("send as others to \"{}\"", channel);
}

bool HasRight(const AccessRules& rules, std::string_view identity,
              std::optional<Right> right, std::string_view channel) {
  if (!rules.rights) return !identity.empty() && right != Right::kSendAs;
  return channel.empty() || !right
             ? rules.rights->HasAny(identity, right)
             : rules.rights->Find(identity, *right, channel) != nullptr;
}

}  // namespace

absl::Status CheckTransport(const AccessRules& rules, const Caller& caller) {
  if (caller.place == Caller::Place::kProcess || caller.encrypted ||
      rules.transport == Transport::kAny) {
    return absl::OkStatus();
  }
  if (rules.transport == Transport::kEncrypted) {
    return WithReason(
        absl::PermissionDeniedError(
            "the server takes encrypted connections only: connect with TLS "
            "(messenger-cli: --tls, or --tls-ca FILE)"),
        reason::kEncryptionRequired);
  }
  if (caller.place == Caller::Place::kMachine) return absl::OkStatus();
  return WithReason(
      absl::PermissionDeniedError(
          "the server is protected: without TLS it serves its own machine "
          "only. Give it a certificate (messenger-server init-tls makes one), "
          "or start it with --insecure where the whole network is trusted"),
      reason::kProtected);
}

absl::StatusOr<std::string_view> IdentityOf(const AccessRules& rules,
                                            const Caller& caller,
                                            Timestamp now) {
  if (!rules.identify) return std::string_view();
  if (!caller.has_token) return caller.certificate;
  if (!rules.tokens) {
    return Unauthenticated("token: this server knows no tokens",
                           reason::kTokenInvalid);
  }
  if (!caller.token) {
    return Unauthenticated("token: is none that messenger-server token makes",
                           reason::kTokenInvalid);
  }
  const Tokens::Token* const token = rules.tokens->Find(*caller.token);
  if (token == nullptr) {
    return Unauthenticated("token: is not known, or no longer",
                           reason::kTokenInvalid);
  }
  if (token->expires && *token->expires <= now) {
    return Unauthenticated("token: has expired", reason::kTokenExpired);
  }
  return token->identity;
}

absl::Status CheckRight(const AccessRules& rules, std::string_view identity,
                        std::optional<Right> right, std::string_view channel) {
  if (!rules.identify || HasRight(rules, identity, right, channel)) {
    return absl::OkStatus();
  }
  if (identity.empty()) {
    return Unauthenticated(
        fmt::format("to {} takes a token or a client certificate",
                    WhatToDo(right, channel)),
        reason::kCredentialsRequired);
  }
  return WithReason(
      absl::PermissionDeniedError(
          fmt::format("\"{}\" may not {}", identity, WhatToDo(right, channel))),
      reason::kRightMissing,
      {{"identity", std::string(identity)},
       {"right", right ? std::string(ToString(*right)) : std::string()},
       {"channel", std::string(channel)}});
}

absl::StatusOr<std::unique_ptr<Access>> Access::Open(AccessOptions options) {
  std::unique_ptr<Access> access(new Access(std::move(options)));
  AccessRules rules = {.transport = access->options_.transport,
                       .identify = access->options_.identify};
  const FileWatch::Contents files = access->watch_.Read();
  if (absl::Status s = access->Load(files, &rules); !s.ok()) return s;
  access->TellExposure();
  absl::MutexLock lock(&access->mu_);
  access->rules_ = std::make_shared<const AccessRules>(std::move(rules));
  return access;
}

Access::Access(AccessOptions options)
    : options_([&options] {
        options.identify = options.identify || !options.tokens_file.empty() ||
                           !options.rights_file.empty();
        return std::move(options);
      }()),
      last_look_(Now()),
      watch_({{kTokensFile, options_.tokens_file},
              {kRightsFile, options_.rights_file}}) {}

absl::Status Access::Load(const FileWatch::Contents& files,
                          AccessRules* rules) const {
  const auto load = [&files](std::string_view option, const std::string& path,
                             auto parse, auto* result) -> absl::Status {
    const auto text = files.find(option);
    if (text == files.end()) return absl::OkStatus();
    if (!text->second.ok()) return text->second.status();
    auto parsed = parse(*text->second);
    if (!parsed.ok()) {
      return WrongOption(option, WithPath(parsed.status(), path));
    }
    *result = *std::move(parsed);
    return absl::OkStatus();
  };
  // Each by itself: a mistake in one must not keep a token that was revoked in
  // the other.
  const absl::Status tokens =
      load(kTokensFile, options_.tokens_file, Tokens::Parse, &rules->tokens);
  const absl::Status rights =
      load(kRightsFile, options_.rights_file, Rights::Parse, &rules->rights);
  return tokens.ok() ? rights : tokens;
}

std::shared_ptr<const AccessRules> Access::rules() const {
  absl::ReaderMutexLock lock(&mu_);
  return rules_;
}

absl::StatusOr<std::string_view> Access::Admit(const AccessRules& rules,
                                               const Caller& caller,
                                               std::optional<Right> right,
                                               std::string_view channel) {
  if (caller.place == Caller::Place::kProcess) return std::string_view();
  if (absl::Status s = CheckTransport(rules, caller); !s.ok()) return s;
  auto identity = IdentityOf(rules, caller, Now());
  if (!identity.ok()) return identity;
  if (absl::Status s = CheckRight(rules, *identity, right, channel); !s.ok()) {
    return s;
  }
  return identity;
}

absl::Status Access::Admit(const Caller& caller, std::optional<Right> right,
                           std::string_view channel) const {
  return Admit(*rules(), caller, right, channel).status();
}

absl::StatusOr<Sender> Access::AdmitSender(const Caller& caller,
                                           std::string_view channel) const {
  const std::shared_ptr<const AccessRules> now = rules();
  const auto identity = Admit(*now, caller, Right::kSend, channel);
  if (!identity.ok()) return identity.status();
  return Sender{
      .identity = std::string(*identity),
      .any_author = CheckRight(*now, *identity, Right::kSendAs, channel).ok()};
}

void Access::NoteRefusal(const Caller& caller, const absl::Status& status) {
  const std::string why = ReasonOf(status);
  const bool concerns =
      why == reason::kProtected || why == reason::kEncryptionRequired ||
      why == reason::kTokenInvalid || why == reason::kTokenExpired ||
      why == reason::kCredentialsRequired;
  if (!concerns) return;
  if (!caller.token) return TellOnce(caller.address, why, MessageOf(status));
  // The id of a token is no secret; the rest of it is.
  const std::string& id = caller.token->id;
  const bool in_the_clear =
      why == reason::kProtected || why == reason::kEncryptionRequired;
  const std::shared_ptr<const AccessRules> now = rules();
  if (in_the_clear && now->tokens &&
      now->tokens->Find(*caller.token) != nullptr) {
    return TellOnce(
        caller.address, why + id,
        fmt::format("{}. It has sent the token {} without encryption, for all "
                    "on the way to read: revoke that",
                    MessageOf(status), id));
  }
  TellOnce(caller.address, why,
           fmt::format("{} (token {})", MessageOf(status), id));
}

void Access::TellOnce(std::string_view address, std::string_view why,
                      std::string_view what) {
  if (!options_.on_notice) return;
  bool last = false;
  {
    absl::MutexLock lock(&mu_);
    const auto now = SteadyClock::now();
    if (told_.empty() || now - told_since_ > kForgetToldAfter) {
      told_.clear();
      told_since_ = now;
    }
    if (told_.size() > kMaxTold ||
        !told_.insert(fmt::format("{} {}", address, why)).second) {
      return;
    }
    last = told_.size() > kMaxTold;
  }
  Tell(fmt::format("refused {}: {}{}", address, what,
                   last ? "; others that are refused are not told any more for "
                          "an hour"
                        : ""));
}

void Access::Tell(std::string_view notice) const {
  if (options_.on_notice) options_.on_notice(Printable(notice));
}

void Access::Watch(Changes changes) {
  if (watch_.empty()) return;
  changes_ = std::move(changes);
  watch_.Start(
      {.on_change = [this](const FileWatch::Contents& files) { Reload(files); },
       .on_look = [this] { Look(); }});
}

void Access::Unwatch() {
  watch_.Stop();
}

void Access::Reload(const FileWatch::Contents& files) {
  auto next = std::make_shared<AccessRules>(*rules());
  const absl::Status status = Load(files, next.get());
  {
    absl::MutexLock lock(&mu_);
    rules_ = std::move(next);
  }
  Tell(status.ok() ? fmt::format("read {} again", watch_.Names())
                   : fmt::format("{}; what was there before stays in force",
                                 MessageOf(status)));
  TellExposure();
  changes_.on_change();
  SetOverdue();
}

void Access::SetOverdue() {
  // Changes that follow each other put nothing off.
  overdue_ = std::min(overdue_, SteadyClock::now() + kOverdueAfter);
}

void Access::TellExposure() {
  if (options_.tokens_file.empty()) return;
  const auto exposure = ExposureOf(options_.tokens_file);
  if (exposure && exposure != exposure_) {
    Tell(fmt::format("{}: {}", kTokensFile, *exposure));
  }
  exposure_ = exposure;
}

void Access::Look() {
  const Timestamp now = Now();
  const std::shared_ptr<const AccessRules> present = rules();
  const auto expires =
      present->tokens ? present->tokens->NextExpiry(last_look_) : std::nullopt;
  last_look_ = now;
  if (expires && *expires <= now) {
    changes_.on_change();
    SetOverdue();
  }
  if (overdue_ <= SteadyClock::now()) {
    overdue_ = SteadyClock::time_point::max();
    changes_.on_overdue();
  }
}

}  // namespace messenger
