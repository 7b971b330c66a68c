// StatusTable: the JSON of GET /status as a table a person can read.
#pragma once

#include <string>

namespace sluice::server {

std::string status_table(const std::string& json);

}  // namespace sluice::server
