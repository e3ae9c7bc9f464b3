// The decisions, as a table: rules, caller, right, channel.
#include "security/access.h"

#include <doctest/doctest.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/cond_var.h"
#include "messenger/error.h"
#include "messenger/security_tools.h"
#include "support/certificates.h"
#include "support/low_descriptor_limit.h"
#include "support/printing.h"
#include "support/temporary_directory.h"

namespace messenger::access_test {
namespace {

using Place = Caller::Place;
using test::Contains;

TEST_CASE("access: which connections a service takes") {
  struct Row {
    Transport transport;
    Place place;
    bool encrypted;
    std::string_view reason;
  };
  const std::vector<Row> rows = {
      {Transport::kLocalOrEncrypted, Place::kProcess, false, ""},
      {Transport::kLocalOrEncrypted, Place::kMachine, false, ""},
      {Transport::kLocalOrEncrypted, Place::kNetwork, true, ""},
      {Transport::kLocalOrEncrypted, Place::kNetwork, false,
       reason::kProtected},
      {Transport::kEncrypted, Place::kProcess, false, ""},
      {Transport::kEncrypted, Place::kMachine, false,
       reason::kEncryptionRequired},
      {Transport::kEncrypted, Place::kMachine, true, ""},
      {Transport::kEncrypted, Place::kNetwork, false,
       reason::kEncryptionRequired},
      {Transport::kEncrypted, Place::kNetwork, true, ""},
      {Transport::kAny, Place::kNetwork, false, ""},
      {Transport::kAny, Place::kMachine, false, ""},
  };
  for (const Row& row : rows) {
    const absl::Status status =
        CheckTransport({.transport = row.transport},
                       {.place = row.place, .encrypted = row.encrypted});
    CHECK(ReasonOf(status) == row.reason);
    CHECK(status.ok() == row.reason.empty());
  }
}

TEST_CASE("access: without identities, everybody may do everything") {
  const AccessRules rules;
  const Caller caller = {.certificate = "ann", .has_token = true};
  CHECK(IdentityOf(rules, caller, Timestamp()).value().empty());
  for (const Right right :
       {Right::kSend, Right::kRead, Right::kAdmin, Right::kSendAs}) {
    CHECK(CheckRight(rules, "", right, "c").ok());
  }
}

TEST_CASE("access: without a rights file, an identity may do everything") {
  AccessRules rules;
  rules.identify = true;
  for (const Right right : {Right::kSend, Right::kRead, Right::kAdmin}) {
    CHECK(CheckRight(rules, "ann", right, "c").ok());
    CHECK(ReasonOf(CheckRight(rules, "", right, "c")) ==
          reason::kCredentialsRequired);
  }
  // But for speaking in the name of others.
  CHECK(
      absl::IsPermissionDenied(CheckRight(rules, "ann", Right::kSendAs, "c")));
}

TEST_CASE("access: a token counts more than a certificate") {
  AccessRules rules;
  rules.identify = true;
  Caller caller = {.certificate = "ann"};
  CHECK(IdentityOf(rules, caller, Timestamp()).value() == "ann");
  // A server without tokens says so, rather than take the caller for another.
  caller.has_token = true;
  CHECK(ReasonOf(IdentityOf(rules, caller, Timestamp()).status()) ==
        reason::kTokenInvalid);
  rules.tokens.emplace();
  CHECK(ReasonOf(IdentityOf(rules, caller, Timestamp()).status()) ==
        reason::kTokenInvalid);
  const std::string token =
      "messenger_abcdefgh_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
  caller.token = ParseToken(token);
  REQUIRE(caller.token);
  CHECK_FALSE(IdentityOf(rules, caller, Timestamp()).ok());
  const Timestamp noon(std::chrono::hours(12));
  rules.tokens->Add({.id = "abcdefgh",
                     .identity = "bob",
                     .digest = caller.token->digest,
                     .created = Timestamp(),
                     .expires = noon});
  CHECK(IdentityOf(rules, caller, noon - std::chrono::nanoseconds(1)).value() ==
        "bob");
  CHECK(ReasonOf(IdentityOf(rules, caller, noon).status()) ==
        reason::kTokenExpired);
}

TEST_CASE("access: a right somewhere, and any right") {
  AccessRules rules;
  rules.identify = true;
  rules.rights = Rights::Parse("ann read a\nbob send-as b*\n").value();
  CHECK(CheckRight(rules, "ann", Right::kRead, "").ok());
  CHECK_FALSE(CheckRight(rules, "ann", Right::kSend, "").ok());
  CHECK(CheckRight(rules, "ann", std::nullopt, "").ok());
  CHECK_FALSE(CheckRight(rules, "eve", std::nullopt, "").ok());
  CHECK(CheckRight(rules, "bob", Right::kSend, "bc").ok());
  CHECK(CheckRight(rules, "bob", Right::kSendAs, "bc").ok());
  CHECK_FALSE(CheckRight(rules, "bob", Right::kSend, "c").ok());
}

TEST_CASE("access: an operator is told once of each peer, without secrets") {
  std::vector<std::string> notices;
  AccessOptions options;
  options.on_notice = [&](std::string_view notice) {
    notices.emplace_back(notice);
  };
  const auto access = Access::Open(std::move(options)).value();
  const absl::Status refusal = CheckTransport({}, {});
  REQUIRE_FALSE(refusal.ok());
  for (const char* const address :
       {"192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.1"}) {
    access->NoteRefusal({.address = address}, refusal);
  }
  CHECK(notices.size() == 2);
  // What is a caller's own fault, and happens every day, is none.
  AccessRules rules;
  rules.identify = true;
  access->NoteRefusal({.address = "192.0.2.1"},
                      CheckRight(rules, "ann", Right::kSendAs, "c"));
  CHECK(notices.size() == 2);
  // However many there are.
  for (int i = 0; i < 3000; ++i) {
    access->NoteRefusal({.address = std::to_string(i)}, refusal);
  }
  CHECK(notices.size() < 1100);
  CHECK(Contains(notices.back(), "not told any more"));
}

TEST_CASE("access: a token that others may have read is told of") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path() + "/tokens";
  const NewToken made = AddToken(path, "ann", std::nullopt).value();
  std::vector<std::string> notices;
  const auto access = Access::Open({.tokens_file = path,
                                    .on_notice =
                                        [&](std::string_view notice) {
                                          notices.emplace_back(notice);
                                        }})
                          .value();
  Caller caller = {.address = "192.0.2.1", .has_token = true};
  const auto refuse = [&] {
    const absl::Status refusal = access->Admit(caller, Right::kRead, "c");
    CHECK(ReasonOf(refusal) == reason::kProtected);
    access->NoteRefusal(caller, refusal);
  };
  refuse();
  caller.token = ParseToken(made.token);
  refuse();
  refuse();
  REQUIRE(notices.size() == 2);
  CHECK(Contains(notices[1], made.info.id + " without encryption"));
  CHECK(Contains(notices[1], "revoke"));
  // One that is not known is no secret.
  caller.token = ParseToken("messenger_00000000_" + std::string(43, 'A'));
  refuse();
  CHECK(notices.size() == 2);
}

// How often an access that is watched has told of a change.
class Watched {
 public:
  explicit Watched(Access* access) : access_(access) {
    access_->Watch({.on_change = [this] { Count(&changes_); },
                    .on_overdue = [this] { Count(&overdue_); }});
  }
  ~Watched() { access_->Unwatch(); }
  Watched(const Watched&) = delete;
  Watched& operator=(const Watched&) = delete;

  // Awaits that what has changed is overdue so many times; how often it has.
  int ChangesUntilOverdue(int times) {
    absl::MutexLock lock(&mu_);
    const auto deadline = CondVar::After(std::chrono::seconds(20));
    while (overdue_ < times && told_.WaitUntil(&mu_, deadline)) {
    }
    CHECK(overdue_ == times);
    return changes_;
  }

 private:
  void Count(int* what) {
    absl::MutexLock lock(&mu_);
    ++*what;
    told_.SignalAll();
  }

  Access* const access_;
  absl::Mutex mu_;
  CondVar told_;
  int changes_ ABSL_GUARDED_BY(mu_) = 0;
  int overdue_ ABSL_GUARDED_BY(mu_) = 0;
};

TEST_CASE("access: files are read again when they have changed") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path() + "/rights";
  test::ReplaceFile(path, "ann read *\n");
  const auto access = Access::Open({.rights_file = path}).value();
  CHECK(access->identifies());
  Watched watched(access.get());
  const Caller ann = {.place = Place::kMachine, .certificate = "ann"};
  CHECK(access->Admit(ann, Right::kRead, "c").ok());
  test::ReplaceFile(path, "bob read *\n");
  CHECK(watched.ChangesUntilOverdue(1) == 1);
  CHECK(absl::IsPermissionDenied(access->Admit(ann, Right::kRead, "c")));
}

TEST_CASE("access: a right that is lost while no file can be read ends later") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path() + "/rights";
  test::ReplaceFile(path, "ann read *\n");
  test::ReplaceFile(path + ".next", "bob read *\n");
  CHECK_FALSE(Access::Open({.rights_file = path + ".none"}).ok());
  const auto access = Access::Open({.rights_file = path}).value();
  Watched watched(access.get());
  const Caller ann = {.place = Place::kMachine, .certificate = "ann"};
  {
    const test::LowDescriptorLimit none(3);
    std::filesystem::rename(path + ".next", path);
    CHECK(watched.ChangesUntilOverdue(1) == 1);
    CHECK(access->Admit(ann, Right::kRead, "c").ok());
  }
  CHECK(watched.ChangesUntilOverdue(2) == 2);
  CHECK(absl::IsPermissionDenied(access->Admit(ann, Right::kRead, "c")));
}

}  // namespace
}  // namespace messenger::access_test
