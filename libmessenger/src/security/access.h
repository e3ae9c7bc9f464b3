// Who may do what: what a service decides by, and the decisions.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "messenger/message.h"
#include "messenger/security.h"
#include "security/file_watch.h"
#include "security/rights.h"
#include "security/tokens.h"

namespace messenger {

// What is known of who calls.
struct Caller {
  enum class Place : std::uint8_t {
    kProcess,  // the program itself
    kMachine,
    kNetwork,
  };
  Place place = Place::kNetwork;
  bool encrypted = false;
  // Where it calls from, without a port: for notices.
  std::string address;
  // Of its connection; empty: none.
  std::string certificate;
  // That it has sent one, and which, if it has the form of one.
  bool has_token = false;
  std::optional<PresentedToken> token;
};

// What is decided by, at a moment. Immutable.
struct AccessRules {
  Transport transport = Transport::kLocalOrEncrypted;
  // Whether callers have identities; if not, all may do everything.
  bool identify = false;
  std::optional<Tokens> tokens;
  std::optional<Rights> rights;
};

// PERMISSION_DENIED with the reason PROTECTED or ENCRYPTION_REQUIRED.
absl::Status CheckTransport(const AccessRules& rules, const Caller& caller);

// Who it is; empty: anonymous. Valid as long as both arguments.
// UNAUTHENTICATED, with a reason, if its token is not valid.
absl::StatusOr<std::string_view> IdentityOf(const AccessRules& rules,
                                            const Caller& caller,
                                            Timestamp now);

// Whether whoever this is has the right (none: any right) in `channel`; if that
// is empty, in some channel. PERMISSION_DENIED with the reason RIGHT_MISSING;
// of anonymous callers UNAUTHENTICATED with the reason CREDENTIALS_REQUIRED.
absl::Status CheckRight(const AccessRules& rules, std::string_view identity,
                        std::optional<Right> right, std::string_view channel);

// Under which names somebody may send.
struct Sender {
  // Whose the messages are; empty: nobody's in particular.
  std::string identity = {};
  bool any_author = true;
};

// What a service decides by, as its files say, and keeps up with them.
//
// Thread safety: all members may be called from any thread, but for Watch.
class Access {
 public:
  // INVALID_ARGUMENT names an option, its file and what is wrong with it.
  // Blocks.
  static absl::StatusOr<std::unique_ptr<Access>> Open(AccessOptions options);

  bool identifies() const { return options_.identify; }
  Transport transport() const { return options_.transport; }
  std::shared_ptr<const AccessRules> rules() const ABSL_LOCKS_EXCLUDED(mu_);

  // All of the above.
  absl::Status Admit(const Caller& caller, std::optional<Right> right,
                     std::string_view channel) const;

  // The same for sending to `channel`.
  absl::StatusOr<Sender> AdmitSender(const Caller& caller,
                                     std::string_view channel) const;

  // Tells the operator that a call was refused, if that is what the status says
  // and is his concern: for want of a right it is not. Once for each address
  // and reason, and for each token that has come without encryption.
  void NoteRefusal(const Caller& caller, const absl::Status& status)
      ABSL_LOCKS_EXCLUDED(mu_);

  // "refused ADDRESS: WHAT", once for each address and `why`.
  void TellOnce(std::string_view address, std::string_view why,
                std::string_view what) ABSL_LOCKS_EXCLUDED(mu_);

  struct Changes {
    // What is decided may be different from now on.
    std::function<void()> on_change;
    // Half a second later: whoever is not admitted has had time to end.
    std::function<void()> on_overdue;
  };
  // Calls them, on a thread of its own, until Unwatch. Each at most once.
  void Watch(Changes changes);
  // Waits until none of them runs.
  void Unwatch();

 private:
  explicit Access(AccessOptions options);
  // Who it is, if it has the right. Valid as long as `rules` and `caller`.
  static absl::StatusOr<std::string_view> Admit(const AccessRules& rules,
                                                const Caller& caller,
                                                std::optional<Right> right,
                                                std::string_view channel);
  // Takes what the files say into the rules, each file that can be used.
  absl::Status Load(const FileWatch::Contents& files, AccessRules* rules) const;
  void Reload(const FileWatch::Contents& files);
  // Tells the operator if others may read the tokens.
  void TellExposure();
  void Look();
  void SetOverdue();
  void Tell(std::string_view notice) const;

  const AccessOptions options_;
  // On the thread of the watch, once it runs.
  std::optional<std::string> exposure_;  // as it was told
  Changes changes_;
  Timestamp last_look_;
  std::chrono::steady_clock::time_point overdue_ =
      std::chrono::steady_clock::time_point::max();

  mutable absl::Mutex mu_;
  std::shared_ptr<const AccessRules> rules_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_set<std::string> told_ ABSL_GUARDED_BY(mu_);
  std::chrono::steady_clock::time_point told_since_ ABSL_GUARDED_BY(mu_);
  FileWatch watch_;  // last: its callbacks use all of the above
};

}  // namespace messenger
