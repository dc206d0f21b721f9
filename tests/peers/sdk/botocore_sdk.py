"""botocore, what boto3 and the AWS command line are made of."""

from loopback import drive


def assume_role(values):
    import botocore.session

    client = botocore.session.get_session().create_client(
        "sts",
        region_name=values["region"],
        aws_access_key_id=values["access_key_id"],
        aws_secret_access_key=values["secret_access_key"],
    )
    answer = client.assume_role(
        RoleArn=values["role_arn"],
        RoleSessionName=values.get("session_name", "token-server"),
        DurationSeconds=int(values.get("duration_seconds", 3600)),
    )
    return answer["Credentials"]["SessionToken"]


drive(aws_sts_assume_role=assume_role)
