// The gateway's own certificate, for HTTP over TLS.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"

namespace messenger::app {

struct CertificateFiles {
  // PEM: the certificate, followed by those that lead from it to a CA.
  std::string certificate = {};
  // Its key, not encrypted.
  std::string key = {};

  bool empty() const { return certificate.empty() && key.empty(); }
};

// TLS 1.2 or newer with this certificate. Errors name the option and the file.
absl::StatusOr<std::shared_ptr<boost::asio::ssl::context>> MakeTlsContext(
    const CertificateFiles& files);

// Looks at the files several times a second: connections that come from then on
// get what is new, and those that there are go on. While what is new cannot be
// used, the old is, a notice says why, and it is tried again at each look: what
// has failed may be no fault of the files. From two weeks before it expires, a
// notice says so every day.
//
// Thread safety: `context` may be called from any thread.
class Certificate {
 public:
  using Notice = std::function<void(std::string_view)>;

  static absl::StatusOr<std::unique_ptr<Certificate>> Load(
      CertificateFiles files, Notice notice);

  std::shared_ptr<boost::asio::ssl::context> context() const {
    absl::MutexLock lock(&mu_);
    return context_;
  }

  // Looks from now on, on threads of this executor, which must have ended
  // before the certificate is destroyed.
  void Watch(const boost::asio::any_io_executor& executor);

 private:
  // What is different if a file is.
  struct Stamp {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::int64_t size = -1;
    std::int64_t modified = 0;
    std::int64_t changed = 0;

    friend bool operator==(const Stamp&, const Stamp&) = default;
  };
  using Stamps = std::vector<Stamp>;

  Certificate(CertificateFiles files, Notice notice)
      : files_(std::move(files)), notice_(std::move(notice)) {}

  static Stamp StampOf(const std::string& path);
  Stamps Look() const;
  void LookAgain();
  void Reload(bool has_changed);
  void TellExpiry();

  const CertificateFiles files_;
  const Notice notice_;
  // As they were when they were read last, and at the last look.
  Stamps read_;
  Stamps seen_;
  // Why they cannot be used; empty: they can.
  std::string wrong_;
  // Of its end.
  std::string told_;
  std::unique_ptr<boost::asio::steady_timer> timer_;
  mutable absl::Mutex mu_;
  std::shared_ptr<boost::asio::ssl::context> context_ ABSL_GUARDED_BY(mu_);
};

}  // namespace messenger::app
