# A cluster on AWS: one head with a disk of its own, and spot workers in a group that a scaler on the head grows and shrinks.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0, < 7.0"
    }
  }
}

provider "aws" {
  region = var.region
}

data "aws_ami" "debian" {
  most_recent = true
  # Debian's own account.
  owners = ["136693071363"]
  filter {
    name   = "name"
    values = ["debian-12-amd64-*"]
  }
}

data "aws_subnet" "this" {
  id = var.subnet_id
}

locals {
  head_user_data   = replace(file("${path.module}/../cloud-init/head.yaml"), "PUT-THE-ADDRESS-OF-THE-PACKAGE-HERE", var.package_url)
  worker_user_data = replace(replace(file("${path.module}/../cloud-init/worker.yaml"), "PUT-THE-ADDRESS-OF-THE-PACKAGE-HERE", var.package_url), "PUT-THE-TOKEN-HERE", var.join_token)
}

resource "aws_security_group" "head" {
  name_prefix = "millpond-head-"
  vpc_id      = data.aws_subnet.this.vpc_id
}

resource "aws_security_group" "worker" {
  name_prefix = "millpond-worker-"
  vpc_id      = data.aws_subnet.this.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "workers_reach_the_head" {
  security_group_id            = aws_security_group.head.id
  referenced_security_group_id = aws_security_group.worker.id
  ip_protocol                  = "tcp"
  from_port                    = 7663
  to_port                      = 7663
}

resource "aws_vpc_security_group_ingress_rule" "clients_reach_the_head" {
  for_each          = toset(var.client_networks)
  security_group_id = aws_security_group.head.id
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = 7663
  to_port           = 7663
}

resource "aws_vpc_security_group_ingress_rule" "admins_reach_the_head" {
  for_each          = toset(var.admin_networks)
  security_group_id = aws_security_group.head.id
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = 22
  to_port           = 22
}

resource "aws_vpc_security_group_egress_rule" "out" {
  for_each          = { head = aws_security_group.head.id, worker = aws_security_group.worker.id }
  security_group_id = each.value
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "-1"
}

# What the scaler on the head may do: change the size of this one group.
data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "scaler" {
  statement {
    actions   = ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"]
    resources = [aws_autoscaling_group.workers.arn]
  }
  statement {
    actions   = ["autoscaling:DescribeAutoScalingGroups"]
    resources = ["*"]
  }
}

resource "aws_iam_role" "head" {
  name_prefix        = "millpond-head-"
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

resource "aws_iam_role_policy" "scaler" {
  role   = aws_iam_role.head.id
  policy = data.aws_iam_policy_document.scaler.json
}

resource "aws_iam_instance_profile" "head" {
  name_prefix = "millpond-head-"
  role        = aws_iam_role.head.name
}

resource "aws_instance" "head" {
  ami                    = data.aws_ami.debian.id
  instance_type          = var.head_instance_type
  subnet_id              = var.subnet_id
  key_name               = var.ssh_key_name
  vpc_security_group_ids = [aws_security_group.head.id]
  iam_instance_profile   = aws_iam_instance_profile.head.name
  user_data              = local.head_user_data

  metadata_options {
    http_tokens = "required"
  }

  # Jobs, data and results. Another user data or image must not throw them away: change the head as operations.md says.
  root_block_device {
    volume_size           = var.head_disk_gb
    volume_type           = "gp3"
    encrypted             = true
    delete_on_termination = false
  }

  lifecycle {
    ignore_changes = [ami, user_data]
  }

  tags = { Name = "millpond-head" }
}

resource "aws_launch_template" "worker" {
  name_prefix            = "millpond-worker-"
  image_id               = data.aws_ami.debian.id
  user_data              = base64encode(local.worker_user_data)
  vpc_security_group_ids = [aws_security_group.worker.id]

  # No role: whoever's task reaches the metadata address finds no credentials there.
  metadata_options {
    http_tokens = "required"
  }

  block_device_mappings {
    device_name = "/dev/xvda"
    ebs {
      volume_size = var.worker_disk_gb
      volume_type = "gp3"
      encrypted   = true
    }
  }

  tag_specifications {
    resource_type = "instance"
    tags          = { Name = "millpond-worker" }
  }
}

resource "aws_autoscaling_group" "workers" {
  name_prefix         = "millpond-workers-"
  vpc_zone_identifier = [var.subnet_id]
  min_size            = 0
  max_size            = var.workers_max
  desired_capacity    = 0

  # Which machine goes is said by the scaler alone, which has drained it before.
  protect_from_scale_in = true

  mixed_instances_policy {
    instances_distribution {
      on_demand_base_capacity                  = 0
      on_demand_percentage_above_base_capacity = 0
      spot_allocation_strategy                 = "price-capacity-optimized"
    }
    launch_template {
      launch_template_specification {
        launch_template_id = aws_launch_template.worker.id
        version            = "$Latest"
      }
      dynamic "override" {
        for_each = var.worker_instance_types
        content {
          instance_type = override.value
        }
      }
    }
  }

  lifecycle {
    ignore_changes = [desired_capacity]
  }
}
