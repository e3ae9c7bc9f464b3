// A page of a list, of which not everybody may see all.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/out_of_memory.h"

namespace messenger {

// Asks the log for one piece of the list after the other, until there are
// enough that may be seen, or no more: a client takes an empty page for the
// last one, and the place of what is hidden would tell of it.
template <typename Info>
class ListPage : public std::enable_shared_from_this<ListPage<Info>> {
 public:
  using Infos = absl::StatusOr<std::vector<Info>>;
  using Done = absl::AnyInvocable<void(Infos)>;
  // Gets at most `max` of them: after `last`, which is valid until it gives
  // them, or, if that is null, from where the page begins.
  using Fetch =
      std::function<void(const Info* last, std::size_t max, Done done)>;

  struct Options {
    std::size_t size = 0;
    Fetch fetch;
    std::function<bool(const Info&)> is_visible;
    // Of a page whose pieces are as large: nothing is hidden, as a rule.
    std::size_t piece = 0;
  };

  // `done` gets at most `size` of them; fewer only at the end of the list.
  static void Get(Options options, Done done) {
    std::make_shared<ListPage>(std::move(options), std::move(done))->Ask();
  }

  ListPage(Options options, Done done)
      : options_(std::move(options)), done_(std::move(done)) {}

 private:
  // A piece may come before `fetch` returns, or later on another thread. What
  // happens second asks for the next one: calls do not nest, however much is
  // hidden.
  void Ask() {
    const auto self = this->shared_from_this();
    do {
      one_has_happened_ = false;
      options_.fetch(last_ ? &*last_ : nullptr, options_.piece,
                     [self](Infos infos) {
                       if (self->Take(std::move(infos)) &&
                           self->one_has_happened_.exchange(true)) {
                         self->Ask();
                       }
                     });
    } while (one_has_happened_.exchange(true));
  }

  // Whether there is more to ask for. If not, the page is done.
  bool Take(Infos infos) {
    const auto has_more = RefuseIfOutOfMemory([&]() -> absl::StatusOr<bool> {
      if (!infos.ok()) return infos.status();
      for (const Info& info : *infos) {
        if (page_.size() == options_.size) return false;
        if (options_.is_visible(info)) page_.push_back(info);
      }
      if (page_.size() == options_.size || infos->size() < options_.piece) {
        return false;
      }
      last_ = std::move(infos->back());
      return true;
    });
    if (!has_more.ok()) {
      done_(has_more.status());
    } else if (!*has_more) {
      done_(std::move(page_));
    }
    return has_more.ok() && *has_more;
  }

  const Options options_;
  Done done_;
  std::vector<Info> page_;
  std::optional<Info> last_;
  // Of the two: that `fetch` has returned, and that its piece was taken.
  std::atomic<bool> one_has_happened_{false};
};

}  // namespace messenger
