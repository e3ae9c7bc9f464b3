// A page of a list, of which not everybody may see all.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"

namespace messenger {

// Asks the log for one piece of the list after the other, until there are
// enough that may be seen, or no more: a client takes an empty page for the
// last one, and the place of what is hidden would tell of it.
template <typename Info>
class ListPage : public std::enable_shared_from_this<ListPage<Info>> {
 public:
  using Infos = absl::StatusOr<std::vector<Info>>;
  using Done = absl::AnyInvocable<void(Infos)>;
  // Gets at most `max` of them: after `last`, or, if that is null, from where
  // the page begins.
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
    std::make_shared<ListPage>(std::move(options), std::move(done))
        ->Continue(nullptr);
  }

  ListPage(Options options, Done done)
      : options_(std::move(options)), done_(std::move(done)) {}

 private:
  void Continue(const Info* last) {
    options_.fetch(last, options_.piece,
                   [self = this->shared_from_this()](Infos infos) {
                     self->Take(std::move(infos));
                   });
  }

  void Take(Infos infos) {
    if (!infos.ok()) return done_(infos.status());
    for (Info& info : *infos) {
      if (page_.size() == options_.size) break;
      if (options_.is_visible(info)) page_.push_back(info);
    }
    if (page_.size() == options_.size || infos->size() < options_.piece) {
      return done_(std::move(page_));
    }
    Continue(&infos->back());
  }

  const Options options_;
  Done done_;
  std::vector<Info> page_;
};

}  // namespace messenger
