variable "region" {
  type        = string
  description = "Where everything is."
}

variable "subnet_id" {
  type        = string
  description = "The subnet of all machines. It must reach Debian's archive and the package."
}

variable "package_url" {
  type        = string
  description = "Where the machines fetch the Debian package."
}

variable "join_token" {
  type        = string
  default     = "none-yet"
  sensitive   = true
  description = "Of `millpond token create --role worker`; the group has no machines before there is one."
}

variable "client_networks" {
  type        = list(string)
  default     = []
  description = "From where jobs are submitted."
}

variable "admin_networks" {
  type        = list(string)
  default     = []
  description = "From where the head is reached by SSH."
}

variable "ssh_key_name" {
  type        = string
  default     = null
  description = "The key pair that logs in to the head."
}

variable "head_instance_type" {
  type    = string
  default = "m7i.large"
}

variable "head_disk_gb" {
  type    = number
  default = 200
}

variable "worker_instance_types" {
  type        = list(string)
  default     = ["c7i.4xlarge", "c6i.4xlarge", "c7a.4xlarge"]
  description = "Of the same number of processors, so that one number of slots holds for all."
}

variable "worker_disk_gb" {
  type    = number
  default = 100
}

variable "workers_max" {
  type    = number
  default = 20
}
