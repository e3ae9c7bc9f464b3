#include "log/durable/reserve.h"

#include <utility>

#include "absl/status/statusor.h"

namespace messenger {

Reserve::Reserve(std::shared_ptr<FileSystem> files, std::string path)
    : files_(std::move(files)), path_(std::move(path)) {}

void Reserve::Keep(std::uint64_t size) {
  absl::MutexLock lock(&mu_);
  if (size <= size_) return;
  size_ = size;
  ready_ = false;
  Take();
}

bool Reserve::Ready() {
  if (ready_) return true;
  absl::MutexLock lock(&mu_);
  Take();
  return ready_;
}

void Reserve::Take() {
  if (loans_ > 0) return;
  if (file_ == nullptr) {
    absl::StatusOr<std::unique_ptr<File>> file =
        files_->Open(path_, FileSystem::Mode::kModify);
    if (absl::IsNotFound(file.status())) {
      file = files_->Open(path_, FileSystem::Mode::kCreate);
    }
    if (!file.ok()) {
      ready_ = !absl::IsResourceExhausted(file.status());
      return;
    }
    file_ = *std::move(file);
  }
  // Or as much as there is: the rest of the disk is not for others either.
  constexpr std::uint64_t kSteps = 8;
  absl::Status s = file_->Allocate(size_);
  ready_ = !absl::IsResourceExhausted(s);
  for (std::uint64_t step = kSteps - 1; step > 0; --step) {
    if (!absl::IsResourceExhausted(s)) return;
    s = file_->Allocate(size_ / kSteps * step);
  }
}

Reserve::Loan::Loan(Reserve* reserve) : reserve_(reserve) {
  absl::MutexLock lock(&reserve_->mu_);
  ++reserve_->loans_;
  reserve_->ready_ = reserve_->size_ == 0;
  if (reserve_->file_ == nullptr) {
    // When the log is opened: that of the process before.
    auto file =
        reserve_->files_->Open(reserve_->path_, FileSystem::Mode::kModify);
    if (file.ok()) reserve_->file_ = *std::move(file);
  }
  if (reserve_->file_ != nullptr) reserve_->file_->Truncate(0).IgnoreError();
}

Reserve::Loan::~Loan() {
  absl::MutexLock lock(&reserve_->mu_);
  --reserve_->loans_;
  if (reserve_->size_ > 0) reserve_->Take();
}

}  // namespace messenger
